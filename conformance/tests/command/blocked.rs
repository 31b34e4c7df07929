//! A machine that gives no namespaces: exit code 3, the cause, and what helps.

use crate::{Test, portcullis::Portcullis};

pub(crate) const TESTS: &[Test] = &[(
    "without namespaces it says why and what helps",
    no_namespaces,
)];

fn no_namespaces() {
    let ended = Portcullis::new(&["demo"]).without_namespaces().run();
    assert_eq!(ended.code, 3, "{ended:?}");
    for part in [
        "failed to create a user namespace",
        "user.max_user_namespaces = 0",
        "sudo sysctl -w user.max_user_namespaces=",
        "portcullis test --list",
    ] {
        assert!(
            ended.stderr.contains(part),
            "`{part}` is missing in\n{}",
            ended.stderr
        );
    }
    // What needs no namespaces still works.
    let listed = Portcullis::new(&["test", "--list"])
        .without_namespaces()
        .run();
    assert_eq!(listed.code, 0, "{}", listed.stderr);
}
