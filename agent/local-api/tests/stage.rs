//! A newer daemon's session stage is kept by its name.

use pawl_local_api::SessionStage;

#[test]
fn every_stage_is_read_by_its_name_and_an_unknown_name_is_kept() {
    for stage in SessionStage::KNOWN {
        let json = serde_json::to_string(stage).unwrap();
        assert_eq!(json, format!("\"{stage}\""));
        assert_eq!(serde_json::from_str::<SessionStage>(&json).unwrap(), *stage);
    }
    let newer = "\"of-tomorrow-2\"";
    let unknown: SessionStage = serde_json::from_str(newer).unwrap();
    assert!(!unknown.is_known());
    assert!(!SessionStage::KNOWN.contains(&unknown));
    assert_eq!(unknown.to_string(), "of-tomorrow-2");
    assert_eq!(serde_json::to_string(&unknown).unwrap(), newer);
    for name in ["", "Waiting", "wait ing", "a_b", &"a".repeat(33)] {
        assert!(serde_json::from_str::<SessionStage>(&format!("\"{name}\"")).is_err(), "{name:?}");
    }
}
