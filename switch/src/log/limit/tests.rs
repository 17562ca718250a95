use super::*;

fn left_out(limiter: &mut Limiter, now: Instant) -> Vec<(Code, Option<String>, u64)> {
    limiter.ended(now).into_iter().map(|left| (left.code, left.subject, left.count)).collect()
}

#[test]
fn one_thing_is_told_ten_times_and_does_not_silence_another() {
    let (mut limiter, now) = (Limiter::default(), crate::clock::now());
    let admitted = |limiter: &mut Limiter, code, subject: &str| {
        (0..30).filter(|_| limiter.admit(code, subject, now)).count()
    };
    assert_eq!(admitted(&mut limiter, Code::MacMoved, "a"), 10);
    assert_eq!(admitted(&mut limiter, Code::MacMoved, "b"), 10);
    assert_eq!(admitted(&mut limiter, Code::FdbFrozen, "a"), 10);
    assert_eq!(left_out(&mut limiter, now + WINDOW / 2), []);
    let told = left_out(&mut limiter, now + WINDOW);
    let of = |code, subject: &str| (code, Some(subject.to_owned()), 20);
    assert_eq!(told, [of(Code::MacMoved, "a"), of(Code::MacMoved, "b"), of(Code::FdbFrozen, "a")]);
    assert_eq!(left_out(&mut limiter, now + WINDOW * 2), [], "once");
}

#[test]
fn a_window_that_ended_and_was_not_asked_for_loses_nothing() {
    let (mut limiter, now) = (Limiter::default(), crate::clock::now());
    for second in 0..30 {
        for _ in 0..20 {
            limiter.admit(Code::ReplyUnwritable, "x", now + Duration::from_secs(second));
        }
    }
    let told = left_out(&mut limiter, now + WINDOW * 9);
    assert_eq!(told, [(Code::ReplyUnwritable, Some("x".to_owned()), 600 - 3 * 10)]);
}

#[test]
fn there_are_never_more_subjects_than_the_bound_and_none_is_lost() {
    let (mut limiter, now) = (Limiter::default(), crate::clock::now());
    let mut admitted = 0;
    for n in 0..5000 {
        admitted += u64::from(limiter.admit(Code::MacMoved, &format!("{n}"), now));
        assert!(limiter.subjects.len() <= MAX_SUBJECTS);
    }
    assert_eq!(admitted, u64::from(PER_CODE));
    let told: u64 = limiter.ended(now + WINDOW).iter().map(|left| left.count).sum();
    assert_eq!(told + admitted, 5000);
    assert!(limiter.subjects.is_empty() && limiter.codes.is_empty(), "they age");
}

#[test]
fn a_long_subject_is_cut_between_characters() {
    let (mut limiter, now) = (Limiter::default(), crate::clock::now());
    assert!(limiter.admit(Code::PortDown, &"ü".repeat(1000), now));
    assert!(limiter.subjects.keys().all(|(_, subject)| subject.len() <= SUBJECT && !subject.is_empty()));
}
