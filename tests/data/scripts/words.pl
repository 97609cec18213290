#!/usr/bin/perl
# Words in Perl; reads nothing.
use strict;
use warnings;

my ($action, $user, $ip, $alert, $rule, $location, $file, @more) = @ARGV;
die "usage\n" unless defined $action and $action =~ /^(?:add|delete)$/;
exit 0 if $ip eq '-';
open(my $effect, '>>', 'logs/effect') or die "logs/effect: $!";
print $effect "$action $ip\n";
