use super::*;
use crate::cli::top::model::tests::seen;

/// The texts of one column in the order of the rows.
fn texts(view: View, title: &str, sort: Sort, filter: &str) -> Vec<String> {
    let at = index(view, title);
    let text = |row: &Row| match &row.cells[at].content {
        Content::Text(text) => text.clone(),
        Content::History(samples) => format!("{} samples", samples.len()),
    };
    rows(&seen(), view, sort, filter).iter().map(text).collect()
}

fn index(view: View, title: &str) -> usize {
    view.columns().iter().position(|column| column.title == title).unwrap()
}

fn by(view: View, title: &str) -> Sort {
    Sort { column: index(view, title), reversed: false }
}

fn first(view: View) -> Sort {
    Sort { column: view.first_sort(), reversed: false }
}

#[test]
fn every_row_has_a_cell_for_every_column() {
    let model = seen();
    for view in View::ALL {
        let rows = rows(&model, view, first(view), "");
        assert!(!rows.is_empty(), "{view:?}");
        assert!(rows.iter().all(|row| row.cells.len() == view.columns().len()), "{view:?}");
        assert_ne!(view.columns()[view.first_sort()].kind, Kind::History, "{view:?}");
    }
}

#[test]
fn trouble_comes_first() {
    assert_eq!(texts(View::Peers, "NAME", first(View::Peers), ""), ["node-c", "node-b", "node-d"]);
    assert_eq!(texts(View::Peers, "STATE", first(View::Peers), ""), ["degraded", "up", "up"]);
    assert_eq!(texts(View::Peers, "CAUSE", first(View::Peers), "")[0], "small_mtu");
    let reasons = ["port_security", "no_destination", "udp_overflow"];
    assert_eq!(texts(View::Drops, "REASON", first(View::Drops), ""), reasons, "what goes on, then names");
}

#[test]
fn the_largest_comes_first_where_that_matters_and_names_break_ties() {
    let names = |sort| texts(View::Peers, "NAME", sort, "");
    assert_eq!(names(by(View::Peers, "FROM PEER")), ["node-b", "node-c", "node-d"]);
    assert_eq!(names(by(View::Peers, "RTT")), ["node-b", "node-c", "node-d"]);
    assert_eq!(names(by(View::Peers, "MTU")), ["node-c", "node-b", "node-d"], "the smallest");
    let sort = Sort { reversed: true, ..by(View::Peers, "FROM PEER") };
    assert_eq!(names(sort), ["node-d", "node-c", "node-b"]);
    let same = Sort { column: index(View::Ports, "MTU"), reversed: true };
    assert_eq!(texts(View::Ports, "NAME", same, ""), ["db", "web"]);
}

#[test]
fn a_filter_looks_into_every_column_in_either_case() {
    let sort = first(View::Peers);
    assert_eq!(texts(View::Peers, "NAME", sort, "SMALL_"), ["node-c"]);
    assert_eq!(texts(View::Peers, "NAME", sort, "350us"), ["node-b"]);
    assert!(texts(View::Peers, "NAME", sort, "nobody").is_empty());
}

#[test]
fn numbers_are_said_with_units() {
    let of_b = |title| texts(View::Peers, title, first(View::Peers), "node-b").remove(0);
    // 10 MB times 121 less 100, in a second.
    assert_eq!(of_b("FROM PEER"), "1.68 Gbit/s");
    assert_eq!(of_b("TO PEER"), "33.6 Mbit/s");
    assert_eq!(of_b("FROM PPS"), "210 kpps");
    assert_eq!(of_b("LOSS"), "0.0 %");
    assert_eq!(of_b("HISTORY"), "11 samples");
    assert_eq!(texts(View::Peers, "LOSS", first(View::Peers), "node-c"), ["1.0 %"]);
    assert_eq!(texts(View::Networks, "MACS", first(View::Networks), ""), ["5/65536"]);
    assert_eq!(texts(View::Drops, "RATE", first(View::Drops), "port_sec"), ["40 pps"]);
    assert_eq!(texts(View::Causes, "FOR", first(View::Causes), ""), ["3m12s"]);
}

#[test]
fn what_the_kernel_lost_is_told_from_what_weft_dropped() {
    let said = texts(View::Drops, "WHY", first(View::Drops), "");
    assert!(said[0].contains("MAC or IP address"), "{said:?}");
    assert!(said[2].starts_with("The kernel lost it before"), "{said:?}");
}
