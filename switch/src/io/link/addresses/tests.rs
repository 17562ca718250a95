use rtnetlink::packet_route::address::AddressHeaderFlags;

use super::*;

fn message(ip: &str, header: AddressHeaderFlags, all: Option<AddressFlags>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = 7;
    message.header.flags = header;
    message.attributes.push(AddressAttribute::Address(ip.parse().unwrap()));
    message.attributes.extend(all.map(AddressAttribute::Flags));
    message
}

fn fitness(ip: &str, flags: AddressFlags) -> Option<Fitness> {
    let read = read_address(&message(ip, AddressHeaderFlags::empty(), Some(flags)))?;
    assert_eq!((read.ip, read.link), (ip.parse().unwrap(), 7));
    Some(read.fitness)
}

#[test]
fn an_address_is_as_fit_as_its_flags_say() {
    let all = [
        (AddressFlags::Permanent, Fitness::Lasting),
        (AddressFlags::Managetempaddr, Fitness::Lasting),
        (AddressFlags::Secondary, Fitness::Passing),
        (AddressFlags::Deprecated | AddressFlags::Permanent, Fitness::Passing),
        (AddressFlags::Tentative | AddressFlags::Permanent, Fitness::Tentative),
        (AddressFlags::Tentative | AddressFlags::Secondary, Fitness::Tentative),
    ];
    for (flags, expected) in all {
        assert_eq!(fitness("fd00::1", flags), Some(expected), "{flags:?}");
    }
    assert_eq!(
        fitness("10.0.0.2", AddressFlags::Secondary),
        Some(Fitness::Lasting),
        "the second IPv4 address"
    );
    assert_eq!(fitness("169.254.0.2", AddressFlags::Permanent), Some(Fitness::Passing));
}

#[test]
fn nobody_is_found_at_an_address_of_the_link_or_of_another_host() {
    assert_eq!(fitness("fe80::1", AddressFlags::Permanent), None);
    assert_eq!(fitness("fd00::1", AddressFlags::Dadfailed | AddressFlags::Tentative), None);
}

#[test]
fn flags_in_the_header_alone_count() {
    let old = message("fd00::1", AddressHeaderFlags::Deprecated, None);
    assert_eq!(read_address(&old).map(|read| read.fitness), Some(Fitness::Passing));
}

#[test]
fn the_loopback_has_its_addresses() {
    let addresses = Links::open().unwrap().addresses().unwrap();
    let loopback = LinkAddress { ip: [127, 0, 0, 1].into(), link: 1, fitness: Fitness::Lasting };
    assert!(addresses.contains(&loopback), "{addresses:?}");
}
