use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::cli::top::model::tests::{answers, peer, seen};
use crate::cli::top::screen::Key;
use crate::cli::top::sheet::rows;
use crate::control::protocol::Degraded;

/// What is on a screen of this size, a line each; drawn twice, as the second picture knows where the first scrolled.
fn screen_after(model: &Model, keys: &[Key], (width, height): (u16, u16)) -> Vec<String> {
    let mut screen = Screen::new();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut draw_once = |screen: &mut Screen| {
        let rows = rows(model, screen.view(), screen.sort(), screen.filter());
        let picture = Picture { model, screen, rows: &rows, palette: Palette::Colour };
        let mut shown = Shown::default();
        terminal.draw(|frame| shown = draw(&picture, frame.area(), frame.buffer_mut())).unwrap();
        screen.drawn(&rows, shown.offset, shown.page, shown.scrolled);
    };
    draw_once(&mut screen);
    for key in keys {
        let rows = rows(model, screen.view(), screen.sort(), screen.filter());
        screen.press(*key, &rows);
        draw_once(&mut screen);
    }
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn views() -> impl Iterator<Item = Key> {
    ('1'..='5').map(Key::Char)
}

/// The pictures of `pictures.txt`; written anew by a run with WEFT_PICTURES set.
#[test]
fn pictures_are_as_they_were_looked_at() {
    let mut text = String::new();
    let all: [(&str, &[Key], (u16, u16)); 6] = [
        ("peers, 80 x 24", &[], (80, 24)),
        ("peers, 40 x 10", &[], (40, 10)),
        ("peers, 130 x 16", &[], (130, 16)),
        ("drops, 100 x 16", &[Key::Char('4')], (100, 16)),
        ("a peer, 80 x 30", &[Key::Enter], (80, 30)),
        ("help, 80 x 24", &[Key::Char('?')], (80, 24)),
    ];
    for (title, keys, size) in all {
        text.push_str(&format!("=== {title}\n{}\n", screen_after(&seen(), keys, size).join("\n")));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/top/view/pictures.txt");
    if std::env::var_os("WEFT_PICTURES").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    let changed = text.lines().zip(known.lines()).find(|(new, old)| new != old);
    assert!(text == known, "{changed:?} in:\n{text}");
}

#[test]
fn columns_come_by_rank_and_those_of_frames_together() {
    let titles = |width: usize| -> Vec<&str> {
        let model = seen();
        let rows = rows(&model, View::Peers, Screen::new().sort(), "");
        let places = fit(PEERS, &rows, width);
        assert!(places.last().is_none_or(|last| last.x + last.width <= width), "{width}: {places:?}");
        assert!(places.windows(2).all(|pair| pair[0].x + pair[0].width < pair[1].x), "{width}: {places:?}");
        places.iter().map(|place| PEERS[place.column].title).collect()
    };
    const PEERS: &[Column] = View::Peers.columns();
    assert_eq!(titles(40), ["NAME", "STATE", "FROM PEER", "TO PEER"]);
    assert_eq!(titles(80)[2..], ["RTT", "LOSS", "MTU", "FROM PEER", "TO PEER", "HISTORY"]);
    assert!(titles(100).contains(&"CAUSE") && !titles(100).contains(&"FROM PPS"));
    assert_eq!(titles(140).len(), PEERS.len());
    (0..200).for_each(|width| drop(titles(width)));
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let model = seen();
    let mut lost = seen();
    lost.lose("no daemon on /run/weft/weft.sock: the socket does not exist".to_owned());
    for (width, height) in (0..24).flat_map(|n| [(n, 24 - n), (n * 9, n * 3), (300, n), (n, 100)]) {
        for view in views() {
            for key in [Key::Down, Key::Enter, Key::Char('?'), Key::Char('/')] {
                screen_after(&model, &[view, key, Key::End], (width, height));
            }
        }
        screen_after(&lost, &[], (width, height));
        screen_after(&Model::default(), &[], (width, height));
    }
}

#[test]
fn a_daemon_that_is_gone_is_said_and_the_rows_stay() {
    let mut model = seen();
    model.lose("no daemon on /run/weft/weft.sock: nobody listens on the socket any more".to_owned());
    let lines = screen_after(&model, &[], (80, 24));
    assert!(lines[0].starts_with("node-a  no daemon: trying again  up "), "{lines:#?}");
    assert!(lines[1].contains("/run/weft/weft.sock: nobody listens"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("node-c degraded")), "{lines:#?}");
}

#[test]
fn the_selected_row_stays_on_the_screen() {
    let mut model = Model::default();
    for n in 0..2 {
        let mut many = answers(n);
        many.peers.entries = (0..300).map(|n| peer(&format!("peer-{n:03}"), 1)).collect();
        model.take(many);
    }
    let is_shown = |keys: &[Key], name: &str| {
        let lines = screen_after(&model, keys, (80, 24));
        lines.iter().any(|line| line.starts_with(name))
    };
    assert!(is_shown(&[Key::End], "peer-299"));
    assert!(is_shown(&[Key::End, Key::Up], "peer-299"), "the page stays where it can");
    assert!(is_shown(&[Key::End, Key::PageUp], "peer-285"), "and moves where it must");
    assert!(is_shown(&[Key::End, Key::PageUp, Key::PageUp], "peer-271"));
    assert!(is_shown(&[Key::PageDown, Key::PageDown, Key::Home], "peer-000"));
}

#[test]
fn what_is_below_the_list_takes_unused_lines_and_is_cut_with_an_ellipsis() {
    let long = |rows: usize| {
        let mut many = answers(0);
        many.peers.entries = (0..rows).map(|n| peer(&format!("peer-{n:02}"), 1)).collect();
        let words: Vec<_> = (0..150).map(|n| format!("word{n:03}")).collect();
        many.peers.entries[0].degraded = vec![Degraded { cause: words.join(" "), since_s: 1 }];
        let mut model = Model::default();
        model.take(many);
        screen_after(&model, &[], (80, 40))
    };
    let few = long(2);
    assert!(few.iter().any(|line| line.ends_with("(for 1s)")), "{few:#?}");
    let many = long(60);
    let last = &many[37..39];
    assert!(last.iter().any(|line| line.ends_with('…') && line.chars().count() <= 79), "{many:#?}");
    assert!(many.iter().filter(|line| line.starts_with("peer-")).count() > 20, "{many:#?}");
}

#[test]
fn names_of_others_do_not_move_the_cursor() {
    let mut model = Model::default();
    let mut evil = answers(0);
    evil.peers.entries = vec![peer("a\x1b[2Jb\n", 1)];
    model.take(evil);
    let lines = screen_after(&model, &[], (80, 24));
    assert!(lines.concat().chars().all(|letter| !letter.is_control()), "{lines:#?}");
}

#[test]
fn without_colours_there_are_none_and_the_selected_row_is_seen() {
    let model = seen();
    let (screen, area) = (Screen::new(), Rect::new(0, 0, 80, 24));
    let rows = rows(&model, View::Peers, screen.sort(), "");
    let drawn = |palette: Palette| {
        let mut buffer = Buffer::empty(area);
        draw(&Picture { model: &model, screen: &screen, rows: &rows, palette }, area, &mut buffer);
        buffer
    };
    let is_coloured = |buffer: &Buffer| {
        buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    let (plain, colour) = (drawn(Palette::Plain), drawn(Palette::Colour));
    assert_eq!((is_coloured(&plain), is_coloured(&colour)), (false, true));
    let reversed = |y: u16| plain[(0, y)].modifier.contains(Modifier::REVERSED);
    let lines: Vec<_> = (3..24).filter(|y| reversed(*y)).collect();
    assert_eq!(lines, [4], "the first row");
}

#[test]
fn a_standing_imbalance_is_shown_and_one_of_a_moment_is_not() {
    let mut model = seen();
    let is_shown = |model: &Model| traffic(model).iter().any(|(text, _)| text.starts_with("ledger off"));
    for n in 12..16 {
        assert!(!is_shown(&model), "{n}");
        let mut off = answers(n);
        off.metrics.ledger.received += 5;
        model.take(off);
    }
    assert!(is_shown(&model));
}
