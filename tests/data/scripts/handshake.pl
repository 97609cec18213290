#!/usr/bin/perl
# In Perl, unbuffered.
use strict;
use warnings;
use JSON::PP;

$| = 1;
my $message = decode_json(scalar <STDIN>);
my $address = $message->{parameters}{alert}{data}{srcip};
if ($message->{command} eq 'add') {
    print encode_json({
        version    => 1,
        origin     => { name => 'handshake.pl', module => 'active-response' },
        command    => 'check_keys',
        parameters => { keys => [$address] },
    }), "\n";
    my $answer = decode_json(scalar <STDIN>);
    exit 0 if $answer->{command} ne 'continue';
}
open(my $effect, '>>', 'logs/effect') or die "logs/effect: $!";
print $effect "$message->{command} $address\n";
