use proptest::prelude::*;

use super::*;
use crate::trace::tests::frames;

fn words() -> impl Strategy<Value = Word> {
    let vni = || (0..1_u32 << 24).prop_map(|vni| Vni::new(vni).unwrap());
    let verdict = prop_oneof![
        Just(Verdict::Delivered),
        Just(Verdict::PassedOn),
        "[a-z_]{0,24}".prop_map(Verdict::Dropped),
    ];
    let time = || any::<u32>().prop_map(|ns| Duration::from_nanos(ns.into()));
    let stages = prop::collection::vec((prop::sample::select(&STAGES[..]), time()), 0..=STAGES.len());
    let times = prop::option::of((time(), stages).prop_map(|(waited, stages)| Times { waited, stages }));
    let told = (verdict, any::<u16>(), "[a-z.-]{0,64}", "[a-z]{0,10}", times).prop_map(
        |(verdict, ports, place, network, times)| {
            let place = if matches!(verdict, Verdict::Dropped(_)) { String::new() } else { place };
            Told { verdict, ports, place, network, times }
        },
    );
    let mac = any::<[u8; 6]>().prop_map(MacAddr::new);
    let port = prop_oneof![
        Just(ToldPort::Missing),
        ("[a-z]{0,48}", "[a-z ]{0,64}").prop_map(|(network, reason)| ToldPort::Down { network, reason }),
        (vni(), "[a-z]{0,64}", mac, any::<Option<u32>>(), any::<Option<u128>>()).prop_map(
            |(vni, network, mac, v4, v6)| {
                let (v4, v6) = (v4.map(Ipv4Addr::from_bits), v6.map(Ipv6Addr::from_bits));
                ToldPort::Up { vni, network, mac, v4, v6 }
            }
        ),
    ];
    prop_oneof![
        (any::<u32>(), vni(), frames()).prop_map(|(trace, vni, frame)| Word::AskFrame(trace, vni, frame)),
        (any::<u32>(), vni()).prop_map(|(trace, vni)| Word::AskLive(trace, vni)),
        (any::<u32>(), vni(), "[a-z]{0,64}").prop_map(|(trace, vni, name)| Word::AskPort(trace, vni, name)),
        (any::<u32>(), told).prop_map(|(trace, told)| Word::ToldFrame(trace, told)),
        (any::<u32>(), port).prop_map(|(trace, port)| Word::ToldPort(trace, port)),
    ]
}

proptest! {
    #[test]
    fn a_word_reads_as_it_was_written_and_no_part_of_it_is_one(word in words(), more: [u8; 3]) {
        let content = word.encode().expect("there is room for it");
        let octets = content.octets();
        prop_assert_eq!(Word::decode(&[octets, &more].concat()), Some(word));
        for len in 0..octets.len() {
            prop_assert_eq!(Word::decode(&octets[..len]), None);
        }
    }

    #[test]
    fn any_octets_are_a_word_or_none(kind in 0..8_u8, rest: Vec<u8>) {
        if let Some(word) = Word::decode(&[&[kind], &rest[..]].concat()) {
            prop_assert_eq!(word.encode().and_then(|content| Word::decode(content.octets())).is_some(), true);
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_two_characters_and_says_so(place in "[a-zäß€😀]{0,80}") {
        let (network, times) = (String::new(), None);
        let told = Told { verdict: Verdict::PassedOn, ports: 1, place: place.clone(), network, times };
        let content = Word::ToldFrame(1, told).encode().unwrap();
        let Some(Word::ToldFrame(1, told)) = Word::decode(content.octets()) else { panic!() };
        if place.len() <= MAX_NAME {
            prop_assert_eq!(told.place, place);
        } else {
            let kept = told.place.strip_suffix(CUT).expect("it says so");
            prop_assert!(place.starts_with(kept) && (MAX_NAME - 3..=MAX_NAME).contains(&told.place.len()));
        }
    }
}

#[test]
fn stages_of_a_later_version_are_left_out_and_more_times_than_there_are_octets_are_none() {
    let times = Some(Times {
        waited: Duration::from_nanos(9),
        stages: vec![(StageName::Open, Duration::from_nanos(1)), (StageName::Decide, Duration::from_secs(9))],
    });
    let told =
        Told { verdict: Verdict::Delivered, ports: 1, place: String::new(), network: String::new(), times };
    let mut octets = Word::ToldFrame(1, told).encode().unwrap().octets().to_vec();
    octets[10] = 77;
    let Some(Word::ToldFrame(1, Told { times: Some(times), .. })) = Word::decode(&octets) else { panic!() };
    let most = Duration::from_nanos(u32::MAX.into());
    assert_eq!((times.waited.as_nanos(), times.stages), (9, vec![(StageName::Decide, most)]));
    octets[9] = u8::MAX;
    assert_eq!(Word::decode(&octets), None);
}

#[test]
fn a_port_and_its_network_with_the_longest_names_keep_them_where_the_stages_leave_room() {
    let (place, network) = ("p".repeat(64), "n".repeat(64));
    let times =
        |count| Times { waited: Duration::ZERO, stages: vec![(StageName::Open, Duration::ZERO); count] };
    for (times, kept) in [(None, 45), (Some(times(4)), 20), (Some(times(6)), 10)] {
        let (place, network, verdict) = (place.clone(), network.clone(), Verdict::Delivered);
        let content = Word::ToldFrame(1, Told { verdict, ports: 1, place, network, times }).encode().unwrap();
        let Some(Word::ToldFrame(1, told)) = Word::decode(content.octets()) else { panic!() };
        assert_eq!(told.place.len(), 64);
        assert_eq!((told.network.len(), told.network.ends_with("n…")), (kept, true));
    }
}
