//! The wire formats against packets that others made: captures of Linux, OVS and hardware, octets of other test
//! suites, and one packet for each rule of the RFCs. `data/SOURCES.md` says where they come from and how to read them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use encap::tunnel::{IpVersion, outer_packet_len};
use encap::{DecodeError, Format, Vni, ether, geneve, tunnel, vxlan};
use etherparse::{Ethernet2Slice, SingleVlanSlice, SlicedPacket, TransportSlice};
use serde_json::Value;
use sha2::{Digest, Sha256};
use weft_tests::pcap;

/// Why a receiver that knows the sender and the VNI delivers no frame.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropped {
    Decode(DecodeError),
    SourceMac,
    Reserved,
}

/// The stateless part of receiving, in the order of the data path.
fn receive(format: Format, datagram: &[u8], strict: bool) -> Result<(Vni, &[u8]), Dropped> {
    let (vni, start) = tunnel::decode(format, datagram, strict).map_err(Dropped::Decode)?;
    let frame = ether::Frame::new(&datagram[start..]).map_err(Dropped::Decode)?;
    if !frame.is_source_valid() {
        return Err(Dropped::SourceMac);
    }
    if !frame.is_forwardable_destination() || frame.is_pause() {
        return Err(Dropped::Reserved);
    }
    Ok((vni, frame.octets()))
}

/// Whether `dropped` is what a vector calls `label`; the labels are finer in two places.
fn is_labelled(dropped: Dropped, label: &str) -> bool {
    use DecodeError as E;
    let names: &[&str] = match dropped {
        Dropped::Decode(E::Truncated { .. }) => &["short"],
        Dropped::Decode(E::Runt { .. }) => &["runt-inner"],
        Dropped::Decode(E::VxlanNoVni { .. }) => &["no-i-flag"],
        Dropped::Decode(E::VxlanReserved { .. }) => &["reserved-bits"],
        Dropped::Decode(E::GeneveVersion { .. }) => &["version"],
        Dropped::Decode(E::GeneveControl) => &["control-packet"],
        Dropped::Decode(E::GeneveProtocol { .. }) => &["not-ethernet"],
        Dropped::Decode(E::GeneveOptions { .. }) => &["opt-length-mismatch", "optlen-overrun"],
        Dropped::Decode(E::GeneveCritical { .. }) => &["unknown-critical-option"],
        Dropped::SourceMac => &["inner-src-mac-zero", "inner-src-mac-group"],
        Dropped::Reserved => &["reserved-multicast"],
    };
    label.strip_prefix("drop:").is_some_and(|label| names.contains(&label))
}

/// A datagram and what its vector says of it.
struct Case {
    id: String,
    format: Format,
    datagram: Vec<u8>,
    default: String,
    strict: String,
    /// The VNI, and length and hash of the frame; what is delivered must be this.
    vni: Option<u32>,
    inner_len: Option<usize>,
    inner_sha256: Option<String>,
}

impl Case {
    /// A case out of a JSON object with the names that both vector files share.
    fn from_json(id: &str, expect: &Value, datagram: Vec<u8>, default: &str, strict: &str) -> Result<Self> {
        let text = |key: &str| expect[key].as_str().map(str::to_owned);
        let number = |key: &str| expect[key].as_u64();
        let default = text(default).with_context(|| format!("{id}: no verdict"))?;
        Ok(Self {
            id: id.to_owned(),
            format: format(expect["encap"].as_str().unwrap_or_default())?,
            datagram,
            strict: text(strict).unwrap_or_else(|| default.clone()),
            default,
            vni: number("vni").map(u32::try_from).transpose()?,
            inner_len: number("inner_len").map(usize::try_from).transpose()?,
            inner_sha256: text("inner_sha256_16"),
        })
    }

    fn check(&self) -> Result<()> {
        for (strict, expected) in [(false, &self.default), (true, &self.strict)] {
            let result = receive(self.format, &self.datagram, strict);
            let agrees = match result {
                Ok((vni, frame)) => {
                    expected == "deliver"
                        && Some(vni.get()) == self.vni
                        && Some(frame.len()) == self.inner_len
                        && Some(&sha256_prefix(frame)) == self.inner_sha256.as_ref()
                        && self.datagram.ends_with(frame)
                }
                Err(dropped) => is_labelled(dropped, expected),
            };
            let result = result.map(|(vni, frame)| (vni, frame.len()));
            ensure!(agrees, "{}, strict {strict}: expected {expected}, got {result:?}", self.id);
        }
        Ok(())
    }

    /// Whether what is in front of the frame is what we would have written; packets with options or with reserved
    /// bits that the sender set are not comparable.
    fn check_header(&self) -> Result<bool> {
        match receive(self.format, &self.datagram, true) {
            Ok((vni, frame)) if self.datagram.len() - frame.len() == tunnel::HEADER_LEN => {
                ensure!(self.datagram.starts_with(&tunnel::encode(self.format, vni)), "{}: header", self.id);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn format(name: &str) -> Result<Format> {
    match name {
        "vxlan" => Ok(Format::Vxlan),
        "geneve" => Ok(Format::Geneve),
        _ => bail!("no format \"{name}\""),
    }
}

fn sha256_prefix(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets)[..8])
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len().is_multiple_of(2), "odd number of hex digits");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn json_lines(name: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(data(name))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// One line of `MANIFEST.tsv` with the packet that it speaks of.
struct Captured {
    columns: Vec<String>,
    packet: Vec<u8>,
}

impl Captured {
    const DPORT: usize = 3;
    const ENCAP: usize = 4;
    const VNI: usize = 5;
    const OPTIONS: usize = 10;
    const OFFSET: usize = 11;
    const LEN: usize = 12;
    const INNER_LEN: usize = 13;
    const SHA256: usize = 14;
    const DEFAULT: usize = 15;
    const STRICT: usize = 16;
    const OUTER: usize = 17;

    fn text(&self, column: usize) -> &str {
        &self.columns[column]
    }

    /// The case of a packet to one of our formats; `None` for what is no tunnel packet.
    fn case(&self) -> Result<Option<Case>> {
        if self.text(Self::DEFAULT).starts_with("not-tunnel") {
            return Ok(None);
        }
        let start: usize = self.text(Self::OFFSET).parse()?;
        let len: usize = self.text(Self::LEN).parse()?;
        let datagram = self.packet.get(start..).with_context(|| format!("no octet {start}"))?;
        Ok(Some(Case {
            id: self.columns[..2].join(" #"),
            format: format(self.text(Self::ENCAP))?,
            datagram: datagram[..len.min(datagram.len())].to_vec(),
            default: self.text(Self::DEFAULT).to_owned(),
            strict: self.text(Self::STRICT).to_owned(),
            vni: Some(self.text(Self::VNI).parse()?),
            inner_len: Some(self.text(Self::INNER_LEN).parse()?),
            inner_sha256: Some(self.text(Self::SHA256).to_owned()),
        }))
    }
}

fn manifest() -> Result<Vec<Captured>> {
    let text = fs::read_to_string(data("MANIFEST.tsv"))?;
    let mut lines = Vec::new();
    for line in text.lines().skip(1) {
        let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let number: usize = columns[1].parse()?;
        let capture = pcap::read(&data(&columns[0]))?;
        let packet = capture.packets.into_iter().nth(number - 1).with_context(|| line.to_owned())?.octets;
        lines.push(Captured { columns, packet });
    }
    Ok(lines)
}

fn captured_cases() -> Result<Vec<Case>> {
    manifest()?.iter().filter_map(|line| line.case().transpose()).collect()
}

/// The UDP payload of a packet of `hex/packets.jsonl`; `None` for a line that holds no packet.
fn hex_datagram(line: &Value) -> Result<Option<Vec<u8>>> {
    if let Some(udp) = line["frame_from_udp_vxlan"].as_str() {
        return Ok(Some(unhex(udp)?.split_off(tunnel::UDP_HEADER_LEN)));
    }
    let Some(frame) = line["frame"].as_str() else { return Ok(None) };
    let frame = unhex(frame)?;
    let packet = match line["linktype"].as_u64() {
        Some(1) => SlicedPacket::from_ethernet(&frame)?,
        Some(101) => SlicedPacket::from_ip(&frame)?,
        Some(113) => SlicedPacket::from_linux_sll(&frame)?,
        other => bail!("link type {other:?}"),
    };
    match packet.transport {
        Some(TransportSlice::Udp(udp)) => Ok(Some(udp.payload().to_vec())),
        other => bail!("no UDP but {other:?}"),
    }
}

fn hex_cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in json_lines("hex/packets.jsonl")? {
        let id = line["id"].as_str().context("no id")?;
        if let Some(datagram) = hex_datagram(&line).with_context(|| id.to_owned())? {
            cases.push(Case::from_json(id, &line["expect"], datagram, "verdict", "strict")?);
        }
    }
    Ok(cases)
}

#[test]
fn captured_packets_get_the_verdict_of_the_manifest() -> Result<()> {
    let cases = captured_cases()?;
    cases.iter().try_for_each(Case::check)?;
    assert_eq!(cases.len(), 140);
    Ok(())
}

#[test]
fn captured_packets_that_are_no_tunnel_are_to_other_ports() -> Result<()> {
    let mut others = 0;
    for line in manifest()? {
        if line.case()?.is_none() {
            let port: u16 = line.text(Captured::DPORT).parse()?;
            assert!(port != vxlan::PORT && port != geneve::PORT, "{:?}", line.columns);
            others += 1;
        }
    }
    assert_eq!(others, 5);
    Ok(())
}

#[test]
fn captured_options_are_read_as_the_manifest_lists_them() -> Result<()> {
    let mut with_options = 0;
    for line in manifest()? {
        let Some(case) = line.case()?.filter(|case| case.format == Format::Geneve) else { continue };
        let mut listed = Vec::new();
        for option in geneve::options(&case.datagram)? {
            let option = option?;
            assert_eq!(option.critical, option.kind & 0x80 != 0);
            listed.push(format!("{:04x}/{:02x}/{}", option.class, option.kind, option.data.len()));
        }
        let expected = line.text(Captured::OPTIONS);
        assert_eq!(listed.join(","), if expected == "-" { "" } else { expected }, "{}", case.id);
        with_options += usize::from(!listed.is_empty());
    }
    assert_eq!(with_options, 22);
    Ok(())
}

#[test]
fn captured_outer_packets_have_the_length_that_the_mtu_arithmetic_says() -> Result<()> {
    let mut compared = 0;
    for line in manifest()? {
        let whole = matches!(line.text(Captured::OUTER), "ok" | "udp-csum");
        let Some(case) = line.case()?.filter(|_| whole) else { continue };
        let word = |at: usize| usize::from(line.packet[at]) << 8 | usize::from(line.packet[at + 1]);
        let (outer, length) = match line.packet[ether::HEADER_LEN] >> 4 {
            4 => (IpVersion::V4, word(16)),
            _ => (IpVersion::V6, word(18) + 40),
        };
        let inner = case.inner_len.context("no length")?;
        let options = case.datagram.len() - tunnel::HEADER_LEN - inner;
        assert_eq!(outer_packet_len(inner, outer, u8::try_from(options)?), length, "{}", case.id);
        compared += 1;
    }
    assert_eq!(compared, 132);
    Ok(())
}

#[test]
fn packets_of_other_test_suites_get_the_verdict_listed_with_them() -> Result<()> {
    let cases = hex_cases()?;
    cases.iter().try_for_each(Case::check)?;
    assert_eq!(cases.len(), 16);
    Ok(())
}

#[test]
fn each_rule_of_the_rfcs_gets_its_verdict() -> Result<()> {
    let lines = json_lines("conformance/decap.jsonl")?;
    for line in &lines {
        let id = line["id"].as_str().context("no id")?;
        let datagram = unhex(line["udp_payload"].as_str().context("no udp_payload")?)?;
        Case::from_json(id, line, datagram, "default", "strict_reserved")?.check()?;
    }
    assert_eq!(lines.len(), 62);
    Ok(())
}

#[test]
fn headers_are_written_as_other_senders_write_them() -> Result<()> {
    let mut cases = captured_cases()?;
    cases.append(&mut hex_cases()?);
    let compared: Result<Vec<bool>> = cases.iter().map(Case::check_header).collect();
    assert_eq!(compared?.into_iter().filter(|compared| *compared).count(), 121);
    Ok(())
}

#[test]
fn tunnel_headers_are_written_as_ovs_writes_them() -> Result<()> {
    let mut compared = 0;
    for line in json_lines("hex/packets.jsonl")? {
        let written = match (line["outer_headers_only"].as_str(), line["expect_encap"]["outer_mask"].as_str())
        {
            (Some(outer), _) | (_, Some(outer)) => &outer[outer.len() - 2 * tunnel::HEADER_LEN..],
            _ => continue,
        };
        let dport = line["outer_headers_only"].as_str().map(|outer| outer[72..76].to_owned());
        let format = match (dport.as_deref(), line["expect_encap"]["encap"].as_str()) {
            (Some("12b5"), _) => Format::Vxlan,
            (Some("17c1"), _) => Format::Geneve,
            (_, Some(name)) => format(name)?,
            other => bail!("{other:?}"),
        };
        assert_eq!(hex(&tunnel::encode(format, Vni::new(123)?)), written, "{}", line["id"]);
        compared += 1;
    }
    assert_eq!(compared, 9);
    Ok(())
}

/// Every Ethernet frame of the captures below `data/inner` and `data/pcap`.
fn frames() -> Result<Vec<(String, Vec<u8>)>> {
    let mut frames = Vec::new();
    for folder in ["inner/tcpdump", "pcap/tcpdump", "pcap/zeek", "pcap/suricata"] {
        for entry in fs::read_dir(data(folder))? {
            let capture = pcap::read(&entry?.path())?;
            ensure!(capture.link_type == pcap::ETHERNET, "link type {}", capture.link_type);
            frames.extend(capture.packets.into_iter().map(|packet| (folder.to_owned(), packet.octets)));
        }
    }
    Ok(frames)
}

#[test]
fn any_frame_comes_out_of_either_tunnel_as_it_went_in() -> Result<()> {
    let vni = Vni::MAX;
    for (folder, frame) in frames()? {
        for format in [Format::Vxlan, Format::Geneve] {
            let datagram = [tunnel::encode(format, vni).as_slice(), &frame].concat();
            let runt = DecodeError::Runt { len: frame.len() };
            let expected = if frame.len() < 14 { Err(runt) } else { Ok((vni, tunnel::HEADER_LEN)) };
            for strict in [false, true] {
                assert_eq!(tunnel::decode(format, &datagram, strict), expected, "{folder}");
            }
            assert!(datagram.ends_with(&frame));
        }
    }
    Ok(())
}

#[test]
fn any_frame_is_seen_as_another_parser_sees_it() -> Result<()> {
    let (mut untagged, mut tagged, mut runts) = (0, 0, 0);
    for (folder, octets) in frames()? {
        let Ok(frame) = ether::Frame::new(&octets) else {
            assert!(octets.len() < 14, "{folder}");
            runts += 1;
            continue;
        };
        let other = Ethernet2Slice::from_slice_without_fcs(&octets)?;
        assert_eq!((frame.dst().octets(), frame.src().octets()), (other.destination(), other.source()));
        let (mut ethertype, mut rest, mut tags) = (other.ether_type(), other.payload_slice(), 0);
        while tags < 2
            && matches!(ethertype.0, ether::VLAN | ether::SERVICE_VLAN)
            && let Ok(tag) = SingleVlanSlice::from_slice(rest)
        {
            (ethertype, rest, tags) = (tag.ether_type(), tag.payload_slice(), tags + 1);
        }
        assert_eq!((frame.ethertype(), frame.l3(), frame.tags()), (ethertype.0, rest, tags), "{folder}");
        if frame.is_tagged() { tagged += 1 } else { untagged += 1 }
    }
    assert_eq!((untagged, tagged, runts), (1268, 9, 40));
    Ok(())
}
