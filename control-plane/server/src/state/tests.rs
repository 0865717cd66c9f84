use std::fs;

use super::*;
use crate::testing::Rig;

fn config(rig: &Rig) -> Config {
    rig.plane.config.clone()
}

fn remove_database(config: &Config) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database(config).into_os_string();
        path.push(suffix);
        let _ = fs::remove_file(path);
    }
    assert!(!database(config).exists());
}

fn refused(config: &Config) -> StateError {
    prepare(config, LostDatabase::Refused).err().unwrap()
}

#[test]
fn a_lost_database_comes_back_empty_only_if_that_is_accepted() {
    let rig = Rig::new();
    let config = config(&rig);
    remove_database(&config);
    let error = refused(&config);
    assert!(matches!(error, StateError::DatabaseLost(_)), "{error}");
    let message = error.to_string();
    for part in ["control-plane.sqlite", "from one backup", "--accept-empty-database"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!database(&config).exists(), "the refusal made one");
    // A file that a full disk or a repair left without content is as good as none.
    fs::write(database(&config), "").unwrap();
    assert!(matches!(refused(&config), StateError::DatabaseLost(_)));

    prepare(&config, LostDatabase::Accepted).unwrap();
    prepare(&config, LostDatabase::Refused).unwrap();
    prepare(&config, LostDatabase::Accepted).unwrap();
}

#[test]
fn lost_keys_are_not_made_anew_beside_the_database_of_the_old_ones() {
    let rig = Rig::new();
    let config = config(&rig);
    let key = config.state_dir.join("ca.key");
    fs::remove_file(&key).unwrap();
    let error = refused(&config);
    assert!(matches!(error, StateError::KeysLost { .. }), "{error}");
    assert!(!key.exists());
}

#[test]
fn keys_and_database_of_two_control_planes_are_refused() {
    let (rig, other) = (Rig::new(), Rig::new());
    let config = config(&rig);
    for name in ["ca.key", "ca.pem"] {
        fs::copy(other.plane.config.state_dir.join(name), config.state_dir.join(name)).unwrap();
    }
    let error = refused(&config);
    assert!(matches!(error, StateError::OtherKeys { .. }), "{error}");
}

#[test]
fn a_first_start_that_was_interrupted_is_finished() {
    // After the database and before the keys; then before the database was marked.
    for have_keys in [false, true] {
        let rig = Rig::new();
        let mut config = config(&rig);
        config.state_dir = config.state_dir.with_file_name("another");
        assert!(!Keys::exist(&config).unwrap());
        owner::create(&database(&config)).unwrap();
        if have_keys {
            Keys::load_or_create(&config).unwrap();
        }
        let keys = prepare(&config, LostDatabase::Refused).unwrap();
        assert_eq!(owner::find(&database(&config)).unwrap(), Found::Owned(keys.authority.key_digest()));
    }
}

#[test]
fn a_database_of_an_earlier_version_is_marked_as_that_of_the_keys() {
    let rig = Rig::new();
    let config = config(&rig);
    let path = database(&config);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE control_plane; PRAGMA user_version = 6;").unwrap();
    drop(connection);
    prepare(&config, LostDatabase::Refused).unwrap();
    assert_eq!(owner::find(&path).unwrap(), Found::Owned(rig.plane.keys.authority.key_digest()));
}
