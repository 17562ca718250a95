use super::*;

const DF: u8 = 0x40;

/// A TCP segment with a right checksum; `change` is applied before the checksum is made.
fn tcp(sequence: u32, id: u16, flags: u8, payload: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(u16::try_from(40 + payload.len()).unwrap().to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend([DF, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 80]);
    frame.extend(sequence.to_be_bytes());
    frame.extend([1, 2, 3, 4, 0x50, flags, 5, 6, 0, 0, 0, 0]);
    frame.extend(payload);
    change(&mut frame);
    frame[24..26].fill(0);
    let sum = Sum::of(&frame[14..34]).complement();
    frame[24..26].copy_from_slice(&sum);
    frame[50..52].fill(0);
    let pseudo = Sum::of(&frame[26..34]).and_u16(u16::from(TCP));
    let length = u16::try_from(frame.len() - 34).unwrap();
    let sum = pseudo.and_u16(length).and(&frame[34..]).complement();
    frame[50..52].copy_from_slice(&sum);
    frame
}

fn plain(sequence: u32, payload: &[u8]) -> Vec<u8> {
    tcp(sequence, 1, ACK, payload, |_| {})
}

/// Pushes frames for port 1 and returns (frames in each write, the octets of each write).
fn run(frames: &[Vec<u8>]) -> Vec<(u32, Vec<u8>)> {
    let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
    let buffer = frames.concat();
    let mut start = 0;
    for frame in frames {
        let span = Span::new(start, frame.len());
        start += frame.len();
        coalescer.push(1, &buffer, span, &Layers::of(frame));
    }
    coalescer
        .finish()
        .iter()
        .map(|write| {
            let mut octets = write.head().to_vec();
            write.pieces().iter().for_each(|piece| octets.extend(piece.of(&buffer)));
            (write.frames(), octets)
        })
        .collect()
}

fn counts(frames: &[Vec<u8>]) -> Vec<u32> {
    run(frames).into_iter().map(|(frames, _)| frames).collect()
}

#[test]
fn segments_that_follow_each_other_become_one() {
    assert_eq!(counts(&[plain(0, &[1; 100]), plain(100, &[2; 100]), plain(200, &[3; 40])]), [3]);
}

#[test]
fn a_shorter_or_pushed_segment_ends_the_run() {
    assert_eq!(counts(&[plain(0, &[1; 100]), plain(100, &[1; 40]), plain(140, &[1; 40])]), [2, 1]);
    let pushed = tcp(100, 1, ACK | PSH, &[1; 100], |_| {});
    assert_eq!(counts(&[plain(0, &[1; 100]), pushed, plain(200, &[1; 100])]), [2, 1]);
    assert_eq!(counts(&[plain(0, &[1; 40]), plain(40, &[1; 100])]), [1, 1]);
}

#[test]
fn a_gap_or_an_old_segment_is_not_merged() {
    assert_eq!(counts(&[plain(0, &[1; 100]), plain(200, &[1; 100])]), [1, 1]);
    assert_eq!(counts(&[plain(100, &[1; 100]), plain(0, &[1; 100]), plain(200, &[1; 100])]), [1, 1, 1]);
}

#[test]
fn syn_fin_rst_urg_ece_cwr_and_pure_acks_stand_alone_and_end_the_run() {
    for flags in [0x02, 0x11, 0x14, 0x30, 0x50, 0x90] {
        let odd = tcp(100, 1, flags, &[1; 100], |_| {});
        assert_eq!(counts(&[plain(0, &[1; 100]), odd, plain(200, &[1; 100])]), [1, 1, 1], "{flags:#x}");
    }
    let ack = tcp(100, 1, ACK, &[], |_| {});
    assert_eq!(counts(&[plain(0, &[1; 100]), ack, plain(100, &[1; 100])]), [1, 1, 1]);
}

#[test]
fn a_different_header_is_not_merged() {
    // MAC, TOS, TTL, DF, acknowledgement, window, urgent pointer.
    for at in [0, 6, 15, 22, 20, 42, 48, 52] {
        let other = tcp(100, 1, ACK, &[1; 100], |frame| frame[at] ^= if at == 20 { DF } else { 4 });
        assert_eq!(counts(&[plain(0, &[1; 100]), other]), [1, 1], "octet {at}");
    }
}

#[test]
fn identification_counts_only_where_fragments_are_allowed() {
    let at = |id, df| {
        move |sequence| tcp(sequence, id, ACK, &[1; 100], move |frame| frame[20] = if df { DF } else { 0 })
    };
    assert_eq!(counts(&[at(5, false)(0), at(6, false)(100)]), [2]);
    assert_eq!(counts(&[at(5, false)(0), at(5, false)(100)]), [1, 1]);
    assert_eq!(counts(&[at(5, true)(0), at(5, true)(100)]), [2]);
}

#[test]
fn a_bad_checksum_in_is_a_bad_checksum_out() {
    let mut bad = plain(100, &[1; 100]);
    bad[60] ^= 1;
    let writes = run(&[plain(0, &[1; 100]), bad.clone(), plain(200, &[1; 100])]);
    assert_eq!(writes.iter().map(|w| w.0).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(writes[1].1, bad);
    let mut bad_ip = plain(0, &[1; 100]);
    bad_ip[24] ^= 1;
    assert_eq!(run(&[bad_ip.clone(), plain(100, &[1; 100])])[0].1, bad_ip);
}

#[test]
fn an_unfinished_syn_is_told_apart_although_it_never_joins_a_run() {
    let push = |frame: &[u8]| {
        let mut coalescer = Coalescer::new(Offload { tcp: false, udp: false });
        coalescer.push(1, frame, Span::new(0, frame.len()), &Layers::of(frame))
    };
    let mut syn = tcp(0, 1, SYN, &[], |_| {});
    assert_eq!(push(&syn), Pushed::Opened);
    syn[50] ^= 1;
    assert_eq!(push(&syn), Pushed::BadChecksum);
}

#[test]
fn flows_are_merged_side_by_side_and_never_reordered() {
    let other = |sequence, payload: &[u8]| {
        tcp(sequence, 1, ACK, payload, |frame| frame[34..36].copy_from_slice(&[9, 9]))
    };
    let frames = [plain(0, &[1; 100]), other(0, &[2; 50]), plain(100, &[3; 100]), other(50, &[4; 50])];
    assert_eq!(counts(&frames), [2, 2]);
    // A write of the flow that stands alone is never overtaken by a later segment.
    let ack = tcp(100, 1, ACK, &[], |_| {});
    let writes = run(&[plain(0, &[1; 100]), ack.clone(), plain(100, &[2; 100]), plain(200, &[3; 100])]);
    assert_eq!(writes.iter().map(|w| w.0).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(writes[1].1, ack);
}

#[test]
fn frames_for_two_ports_are_not_mixed() {
    let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
    let buffer = [plain(0, &[1; 100]), plain(100, &[1; 100])].concat();
    let layers = Layers::of(&buffer[..154]);
    coalescer.push(1, &buffer, Span::new(0, 154), &layers);
    assert_eq!(coalescer.push(2, &buffer, Span::new(154, 154), &layers), Pushed::Opened);
}

#[test]
fn a_run_stays_below_64_kib() {
    let frames: Vec<_> = (0..50).map(|i| plain(i * 1448, &[7; 1448])).collect();
    let writes = run(&frames);
    assert_eq!(writes.iter().map(|w| w.0).sum::<u32>(), 50);
    assert!(writes.iter().all(|w| w.1.len() <= 14 + 65_535));
    assert_eq!(writes.len(), 2);
}

#[test]
fn nothing_is_merged_where_the_port_cannot_take_it() {
    let mut coalescer = Coalescer::new(Offload { tcp: false, udp: true });
    let buffer = [plain(0, &[1; 100]), plain(100, &[1; 100])].concat();
    let layers = Layers::of(&buffer[..154]);
    coalescer.push(1, &buffer, Span::new(0, 154), &layers);
    assert_eq!(coalescer.push(1, &buffer, Span::new(154, 154), &layers), Pushed::Opened);
}

#[test]
fn a_udp_datagram_without_checksum_stands_alone() {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 30, 0, 1, DF, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x12, 0x34, 0, 53, 0, 10, 0, 0, 1, 2]);
    let sum = Sum::of(&frame[14..34]).complement();
    frame[24..26].copy_from_slice(&sum);
    assert_eq!(counts(&[frame.clone(), frame]), [1, 1]);
}
