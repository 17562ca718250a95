use proptest::prelude::*;

use super::*;

fn program(code: &[(u16, u8, u8, u32)]) -> Result<Program, ProgramError> {
    Program::new(code.iter().copied().map(Into::into).collect())
}

const PASS: (u16, u8, u8, u32) = (6, 0, 0, 262_144);
const FAIL: (u16, u8, u8, u32) = (6, 0, 0, 0);

/// `tcpdump -y EN10MB -ddd 'tcp port 80'`, IPv4 half.
const TCP_80: &[(u16, u8, u8, u32)] = &[
    (40, 0, 0, 12),
    (21, 0, 10, 2048),
    (48, 0, 0, 23),
    (21, 0, 8, 6),
    (40, 0, 0, 20),
    (69, 6, 0, 8191),
    (177, 0, 0, 14),
    (72, 0, 0, 14),
    (21, 2, 0, 80),
    (72, 0, 0, 16),
    (21, 0, 1, 80),
    PASS,
    FAIL,
];

fn tcp(source: u16, destination: u16, options: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + options + 20];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45 + u8::try_from(options / 4).unwrap();
    frame[23] = 6;
    frame[34 + options..][..2].copy_from_slice(&source.to_be_bytes());
    frame[36 + options..][..2].copy_from_slice(&destination.to_be_bytes());
    frame
}

#[test]
fn a_filter_for_a_tcp_port_finds_it_behind_ip_options_and_not_in_fragments() {
    let filter = program(TCP_80).unwrap();
    for (frame, expected) in [
        (tcp(1000, 80, 0), true),
        (tcp(80, 1000, 8), true),
        (tcp(1000, 81, 0), false),
        (tcp(1000, 80, 0)[..30].to_vec(), false),
    ] {
        assert_eq!(filter.matches(&frame, frame.len()), expected, "{frame:?}");
    }
    let mut fragment = tcp(1000, 80, 0);
    fragment[21] = 1;
    assert!(!filter.matches(&fragment, fragment.len()));
}

#[test]
fn arithmetic_memory_and_lengths_are_those_of_the_machine() {
    // (length - 4) * 3 stored, x = 5, a = mem + x = 29 for 12 octets on the wire
    let code = [(0x80, 0, 0, 0), (0x14, 0, 0, 4), (0x24, 0, 0, 3), (0x02, 0, 0, 15), (0x01, 0, 0, 5)];
    let rest = [(0x60, 0, 0, 15), (0x0c, 0, 0, 0), (0x15, 0, 1, 29), PASS, FAIL];
    let filter = program(&[&code[..], &rest[..]].concat()).unwrap();
    assert!(filter.matches(&[], 12));
    assert!(!filter.matches(&[0; 12], 13));
    // A shift by more than a word leaves nothing, and does not panic.
    let shift =
        program(&[(0, 0, 0, 1), (1, 0, 0, 77), (0x6c, 0, 0, 0), (0x15, 0, 1, 0), PASS, FAIL]).unwrap();
    assert!(shift.matches(&[], 0));
    let divided = program(&[(0, 0, 0, 1), (1, 0, 0, 0), (0x3c, 0, 0, 0), PASS]).unwrap();
    assert!(!divided.matches(&[], 0), "a division by zero ends it");
}

#[test]
fn what_could_run_out_of_itself_is_refused() {
    let at = |at| Err(ProgramError::Operand { at });
    assert_eq!(program(&[]), Err(ProgramError::Len(0)));
    assert_eq!(program(&vec![PASS; MAX_LEN + 1]), Err(ProgramError::Len(MAX_LEN + 1)));
    assert_eq!(program(&[(5, 0, 0, 1), PASS]), at(0));
    assert_eq!(program(&[(0x15, 0, 2, 0), PASS, PASS]), at(0));
    assert_eq!(program(&[(2, 0, 0, 16), PASS]), at(0));
    assert_eq!(program(&[(0x34, 0, 0, 0), PASS]), at(0));
    assert_eq!(program(&[(0x64, 0, 0, 32), PASS]), at(0));
    assert_eq!(program(&[(0, 0, 0, 0)]), Err(ProgramError::End));
    assert_eq!(program(&[(0xff, 0, 0, 0), PASS]), Err(ProgramError::Code { at: 0, code: 0xff }));
    assert_eq!(program(&[(0x28 | 0x8000, 0, 0, 0), PASS]), Err(ProgramError::Code { at: 0, code: 0x8028 }));
}

proptest! {
    #[test]
    fn whatever_is_accepted_ends_without_a_panic(
        code in proptest::collection::vec((0u16..0xc0, 0u8..6, 0u8..6, prop_oneof![0u32..20, any::<u32>()]), 0..20),
        octets in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let code = [&code[..], &[PASS, PASS, PASS, PASS, PASS, PASS]].concat();
        if let Ok(filter) = program(&code) {
            let _ = filter.matches(&octets, octets.len());
        }
    }
}

#[test]
fn a_program_is_told_as_lists_of_four_numbers_and_checked_when_read() {
    let told = serde_json::to_string(&program(&[(40, 0, 0, 12), PASS]).unwrap()).unwrap();
    assert_eq!(told, "[[40,0,0,12],[6,0,0,262144]]");
    assert!(serde_json::from_str::<Program>(&told).is_ok());
    assert!(serde_json::from_str::<Program>("[[40,0,0,12]]").unwrap_err().to_string().contains("return"));
}
