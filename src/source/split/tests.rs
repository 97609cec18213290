use memchr::memchr;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

use super::{MAX_LINE, Mark, Piece, Records, SkipKind, Splitter, TAIL};

/// A piece with bytes of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Own {
    Line(u64, Vec<u8>),
    Stray,
    Skipped(SkipKind, u64, u64),
}

impl From<Piece<'_>> for Own {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Line { offset, bytes } => Self::Line(offset, bytes.to_vec()),
            Piece::Stray { .. } => Self::Stray,
            Piece::Skipped {
                kind,
                offset,
                bytes,
                after,
            } => {
                assert_eq!(after.offset(), offset);
                Self::Skipped(kind, offset, bytes)
            }
        }
    }
}

fn split_by(records: Records, chunks: &[&[u8]]) -> (Vec<Own>, Splitter) {
    let mut splitter = Splitter::new(Mark::START, records);
    let mut pieces = Vec::new();
    for chunk in chunks {
        let mut cut = splitter.cut(chunk);
        while let Some(piece) = cut.next() {
            pieces.push(piece.into());
        }
    }
    (pieces, splitter)
}

/// As `split_by`, but lines that begin as an object are passed over where that can
/// be done.
fn split_passing(records: Records, chunks: &[&[u8]]) -> (Vec<Own>, Splitter) {
    let mut splitter = Splitter::new(Mark::START, records);
    let mut pieces = Vec::new();
    for chunk in chunks {
        let mut cut = splitter.cut(chunk);
        loop {
            let object = cut.ahead().filter(|ahead| ahead.starts_with(b"{"));
            let newline = object.and_then(|ahead| memchr(b'\n', ahead));
            if let (Some(ahead), Some(newline)) = (object, newline) {
                pieces.push(line(cut.end().offset(), &ahead[..newline]));
                cut.pass_over(newline + 1);
            } else if let Some(piece) = cut.next() {
                pieces.push(piece.into());
            } else {
                break;
            }
        }
    }
    (pieces, splitter)
}

fn split(chunks: &[&[u8]]) -> (Vec<Own>, Splitter) {
    split_by(Records::None, chunks)
}

fn rest(splitter: &mut Splitter) -> Option<Own> {
    splitter.take_rest(&|_| true).map(Own::from)
}

fn line(offset: u64, bytes: &[u8]) -> Own {
    Own::Line(offset, bytes.to_vec())
}

fn skipped(kind: SkipKind, offset: u64, bytes: u64) -> Own {
    Own::Skipped(kind, offset, bytes)
}

/// Wherever the bytes are cut, the pieces and their ends are the same.
#[track_caller]
fn assert_pieces(records: Records, text: &[u8], wanted: &[Own]) {
    for cut in 0..=text.len() {
        for again in [cut, text.len().min(cut + 1), text.len()] {
            let chunks = [&text[..cut], &text[cut..again], &text[again..]];
            for split in [split_by, split_passing] {
                let (mut pieces, mut splitter) = split(records, &chunks);
                while let Some(piece) = rest(&mut splitter) {
                    pieces.push(piece);
                }
                assert_eq!(pieces, wanted, "cut at {cut} and {again}");
                assert_eq!(splitter.end().offset(), text.len() as u64);
                let tail = &text[text.len().saturating_sub(TAIL)..];
                assert_eq!(splitter.end().bytes(), tail);
            }
        }
    }
}

#[test]
fn a_record_goes_on_to_an_empty_line_or_to_the_next_one() {
    let text = b"{}\n** Alert 1: -\na\n** Alert\nb\n\n{}\n** Alert 2\nc\r\n\r\n** Alert 3\n** Alert 4\nd\n** Alert 5";
    let first = b"** Alert 1: -\na\n** Alert\nb";
    let whole = [
        line(0, b"{}"),
        line(3, first),
        line(31, b"{}"),
        line(34, b"** Alert 2\nc\r"),
        line(50, b"** Alert 3"),
        line(61, b"** Alert 4\nd"),
        line(74, b"** Alert 5"),
    ];
    assert_pieces(Records::Unknown, text, &whole);
    assert_pieces(Records::Among, text, &whole);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert_eq!(split(&[text]).0.len(), lines - 1);
}

/// The rest of a log of several lines may look like an alert.
#[test]
fn where_the_first_is_a_record_nothing_else_counts() {
    let text = b"** Alert 1\na\n\n{\"rule\":1}\n\n** Alert 2\n\n";
    let wanted = [
        line(0, b"** Alert 1\na"),
        Own::Stray,
        line(25, b""),
        line(26, b"** Alert 2"),
    ];
    assert_pieces(Records::Unknown, text, &wanted);
    let rest = b"\n{\"rule\":1}\n** Alert 2\n\n";
    for (head, stray) in [(&text[..], true), (b"{}\n** Alert 1\n", false)] {
        let records = Records::Unknown.after(head);
        let (pieces, _) = split_by(records, &[rest]);
        assert_eq!(pieces[1] == Own::Stray, stray);
    }
}

#[test]
fn a_record_that_is_too_long_is_passed_over() {
    let mut text = b"** Alert 1\n".to_vec();
    for _ in 0..=MAX_LINE / 1024 {
        text.extend_from_slice(&[b'a'; 1023]);
        text.push(b'\n');
    }
    text.extend_from_slice(b"\n** Alert 2\nb\n\n");
    let chunks: Vec<&[u8]> = text.chunks(1 << 18).collect();
    let (pieces, splitter) = split_by(Records::Unknown, &chunks);
    assert!(matches!(pieces[0], Own::Skipped(SkipKind::OverLong, 0, _)));
    let last = text.len() as u64 - 14;
    assert_eq!(pieces.last(), Some(&line(last, b"** Alert 2\nb")));
    assert_eq!(splitter.end().offset(), text.len() as u64);
    assert!(splitter.held_bytes.capacity() <= 2 * MAX_LINE);
}

#[test]
fn lines_and_nul_runs_are_told_apart_wherever_the_bytes_are_cut() {
    let text = b"one\n\r\n\n\0\0\0two\0x\nthr\xc3\xa9e";
    let wanted = vec![
        line(0, b"one"),
        line(4, b"\r"),
        line(6, b""),
        skipped(SkipKind::Nul, 7, 3),
        line(10, b"two\0x"),
    ];
    for cut in 0..text.len() {
        let (pieces, mut splitter) = split(&[&text[..cut], &text[cut..]]);
        assert_eq!(pieces, wanted, "cut at {cut}");
        assert_eq!(splitter.end().offset(), 16);
        assert_eq!(splitter.end().bytes(), &text[..16]);
        assert_eq!(rest(&mut splitter), Some(line(16, b"thr\xc3\xa9e")));
        assert_eq!(rest(&mut splitter), None);
    }
}

#[test]
fn a_line_of_the_limit_is_whole_and_one_byte_more_is_skipped() {
    let mut text = vec![b'a'; MAX_LINE];
    text.push(b'\n');
    let (pieces, _) = split(&[&text]);
    assert_eq!(pieces, [line(0, &text[..MAX_LINE])]);

    text.insert(0, b'a');
    text.extend_from_slice(b"next\n");
    for size in [1 << 18, text.len()] {
        let chunks: Vec<&[u8]> = text.chunks(size).collect();
        let (pieces, splitter) = split(&chunks);
        let long = MAX_LINE as u64 + 2;
        assert_eq!(
            pieces,
            [skipped(SkipKind::OverLong, 0, long), line(long, b"next")]
        );
        assert_eq!(splitter.end().bytes(), &text[text.len() - TAIL..]);
    }
}

#[test]
fn a_line_that_never_ends_holds_little_memory() {
    let chunk = vec![b'a'; 1 << 18];
    let chunks = vec![chunk.as_slice(); 40];
    let (pieces, mut splitter) = split(&chunks);
    assert_eq!(pieces, []);
    assert!(splitter.held_bytes.capacity() <= 2 * MAX_LINE);
    assert_eq!(
        rest(&mut splitter),
        Some(skipped(SkipKind::OverLong, 0, 40 << 18))
    );
}

#[test]
fn what_is_ahead_is_no_longer_than_a_line_may_be() {
    let text = vec![b'{'; MAX_LINE + 2];
    let mut splitter = Splitter::new(Mark::START, Records::None);
    assert_eq!(splitter.cut(&text).ahead().unwrap().len(), MAX_LINE + 1);
    assert!(splitter.cut(b"{").next().is_none());
    assert!(splitter.cut(b"}\n").ahead().is_none(), "a line is held");
}

#[test]
fn a_torn_end_is_a_line_only_if_accepted() {
    let (_, mut splitter) = split(&[b"{\"a\":1"]);
    let piece = splitter.take_rest(&|bytes| bytes.ends_with(b"}"));
    assert_eq!(
        piece.map(Own::from),
        Some(skipped(SkipKind::TornTail, 0, 6))
    );
    assert_eq!(splitter.end().offset(), 6);
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = any::<u8>().prop_map(|byte| match byte % 8 {
        0 => b'\n',
        1 => 0,
        _ => byte,
    });
    proptest::collection::vec(proptest::collection::vec(byte, 0..400), 0..8)
}

proptest! {
    #[test]
    fn the_pieces_cover_every_byte_once_and_in_order(chunks in chunks()) {
        let text = chunks.concat();
        let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let (mut pieces, mut splitter) = split(&slices);
        pieces.extend(rest(&mut splitter));
        let mut rebuilt = Vec::new();
        for piece in pieces {
            match piece {
                Own::Line(offset, bytes) => {
                    prop_assert_eq!(offset, rebuilt.len() as u64);
                    rebuilt.extend(bytes);
                    if rebuilt.len() < text.len() {
                        rebuilt.push(b'\n');
                    }
                }
                Own::Stray => unreachable!("there are no records"),
                Own::Skipped(kind, offset, bytes) => {
                    prop_assert_eq!(kind, SkipKind::Nul);
                    prop_assert_eq!(offset, rebuilt.len() as u64);
                    rebuilt.resize(rebuilt.len() + bytes as usize, 0);
                }
            }
        }
        prop_assert_eq!(splitter.end().bytes(), &text[text.len().saturating_sub(256)..]);
        prop_assert_eq!(rebuilt, text);
    }
}
