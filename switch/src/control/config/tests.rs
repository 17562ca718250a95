use super::*;

#[test]
fn an_empty_file_is_the_default() {
    let config = Config::from_toml("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.problems(), []);
}
