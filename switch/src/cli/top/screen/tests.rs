use super::*;
use crate::cli::top::model::tests::seen;
use crate::cli::top::sheet::rows;

/// The names of the rows that are selected after each of these keys; the cluster of the model's tests has three peers.
fn selected_after(screen: &mut Screen, keys: &[Key]) -> Vec<String> {
    let model = seen();
    let name = |key: &Key| {
        let rows = rows(&model, screen.view(), screen.sort(), screen.filter());
        screen.press(*key, &rows);
        let rows = self::rows(&model, screen.view(), screen.sort(), screen.filter());
        let at = screen.selected(&rows);
        screen.drawn(&rows, 0, 2, screen.scrolled());
        at.map_or_else(|| "none".to_owned(), |at| rows[at].id.clone())
    };
    keys.iter().map(name).collect()
}

#[test]
fn rows_are_selected_by_arrows_letters_and_pages() {
    let keys = [
        Key::Down,
        Key::Char('j'),
        Key::Char('j'),
        Key::Up,
        Key::End,
        Key::Char('k'),
        Key::Home,
        Key::PageDown,
        Key::PageUp,
    ];
    let names = selected_after(&mut Screen::new(), &keys);
    let expected = ["node-b", "node-d", "node-d", "node-b", "node-d", "node-b", "node-c", "node-d", "node-c"];
    assert_eq!(names, expected);
}

#[test]
fn the_selected_row_is_held_by_name_and_the_first_by_place() {
    let mut screen = Screen::new();
    assert_eq!(selected_after(&mut screen, &[Key::Down, Key::Char('<')]), ["node-b", "node-b"], "by name");
    let mut screen = Screen::new();
    // By RTT, the longest first.
    assert_eq!(selected_after(&mut screen, &[Key::Char('s')]), ["node-b"], "the first again");
}

#[test]
fn what_is_gone_leaves_the_place_to_its_successor() {
    let (mut screen, mut model) = (Screen::new(), seen());
    selected_after(&mut screen, &[Key::Down]);
    model.peers.remove("node-b");
    let left = rows(&model, View::Peers, screen.sort(), "");
    assert_eq!(screen.selected(&left).map(|at| left[at].id.as_str()), Some("node-d"));
    assert_eq!(screen.selected(&[]), None);
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut screen = Screen::new();
    let typed = ['/', 'q', 'x'].map(Key::Char);
    assert_eq!(selected_after(&mut screen, &typed)[2], "none", "q is a letter while one types");
    assert!(screen.is_typing());
    let typed = [Key::Backspace, Key::Backspace, Key::Char('-'), Key::Char('D'), Key::Enter];
    assert_eq!(selected_after(&mut screen, &typed)[4], "node-d", "in either case");
    assert_eq!((screen.filter(), screen.is_typing()), ("-D", false));
    selected_after(&mut screen, &[Key::Esc]);
    assert_eq!(screen.filter(), "");
    selected_after(&mut screen, &[Key::Char('/')]);
    selected_after(&mut screen, &[Key::Char('y'); 2 * MAX_FILTER]);
    assert_eq!(screen.filter().len(), MAX_FILTER);
}

#[test]
fn views_have_numbers_and_go_round() {
    let mut screen = Screen::new();
    let views: Vec<_> = [Key::Tab, Key::BackTab, Key::BackTab, Key::Tab, Key::Char('4')]
        .into_iter()
        .map(|key| {
            screen.press(key, &[]);
            screen.view()
        })
        .collect();
    assert_eq!(views, [View::Networks, View::Peers, View::Causes, View::Peers, View::Drops]);
}

#[test]
fn sorts_go_round_past_the_history_and_are_reversed() {
    let mut screen = Screen::new();
    let titles: Vec<_> = (0..PEER_SORTS.len())
        .map(|_| {
            screen.press(Key::Char('>'), &[]);
            View::Peers.columns()[screen.sort().column].title
        })
        .collect();
    assert_eq!(titles, PEER_SORTS);
    screen.press(Key::Char('r'), &[]);
    assert!(screen.sort().reversed);
    screen.press(Key::Char('<'), &[]);
    assert_eq!(screen.sort(), Sort { column: 0, reversed: false });
    screen.press(Key::Char('<'), &[]);
    assert_eq!(View::Peers.columns()[screen.sort().column].title, "CAUSE");
    screen.press(Key::Char('<'), &[]);
    assert_eq!(View::Peers.columns()[screen.sort().column].title, "TO PPS");
}

const PEER_SORTS: [&str; 10] =
    ["RTT", "LOSS", "MTU", "FROM PEER", "TO PEER", "FROM PPS", "TO PPS", "CAUSE", "NAME", "STATE"];

#[test]
fn details_and_help_lie_over_the_list_until_escape() {
    let (mut screen, model) = (Screen::new(), seen());
    let listed = rows(&model, View::Peers, screen.sort(), "");
    assert_eq!(screen.press(Key::Enter, &[]), Action::Draw, "there is nothing");
    assert_eq!(screen.over(), Over::Nothing);
    assert_eq!(screen.press(Key::Enter, &listed), Action::Ask);
    assert_eq!(screen.over(), Over::Details);
    screen.press(Key::Down, &listed);
    assert_eq!((screen.scrolled(), screen.selected(&listed)), (1, Some(0)), "the text moves, not the row");
    screen.press(Key::Char('?'), &listed);
    assert_eq!((screen.over(), screen.scrolled()), (Over::Help, 0));
    screen.press(Key::Esc, &listed);
    assert_eq!(screen.over(), Over::Nothing);
}

#[test]
fn a_pause_ends_with_answers_at_once() {
    let mut screen = Screen::new();
    assert_eq!(screen.press(Key::Char('p'), &[]), Action::Draw);
    assert!(screen.is_paused());
    assert_eq!(screen.press(Key::Char('p'), &[]), Action::Ask);
    assert_eq!(screen.press(Key::Char('q'), &[]), Action::Quit);
}

#[test]
fn ctrl_c_ends_whatever_is_typed() {
    let mut screen = Screen::new();
    screen.press(Key::Char('/'), &[]);
    assert_eq!(screen.press(Key::Interrupt, &[]), Action::Quit);
    assert_eq!(screen.press(Key::Suspend, &[]), Action::Suspend);
}
