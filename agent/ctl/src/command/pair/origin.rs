//! How the caller came to the device: told to the approver, and not proven.

use pawl_proto::message::ShortText;

use crate::terminal;

/// `ssh 192.0.2.7`, or the terminal, or that there is none. The daemon adds which user it is.
pub(super) fn here() -> ShortText {
    let connection = std::env::var("SSH_CONNECTION").unwrap_or_default();
    ShortText::lossy(&of(&connection, terminal::name()))
}

/// `connection` is what sshd sets: the client's address comes first.
fn of(connection: &str, terminal: Option<String>) -> String {
    match (connection.split_whitespace().next(), terminal) {
        (Some(address), _) => format!("ssh {}", address.chars().take(64).collect::<String>()),
        (None, Some(terminal)) => terminal,
        (None, None) => "script".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_counts_before_the_terminal() {
        let terminal = || Some("/dev/pts/0".to_owned());
        assert_eq!(of("2001:db8::7 50022 2001:db8::1 22", terminal()), "ssh 2001:db8::7");
        assert_eq!(of("", terminal()), "/dev/pts/0");
        assert_eq!(of(" ", None), "script");
        assert_eq!(of(&"x".repeat(1000), None).len(), "ssh ".len() + 64);
    }
}
