//! What names, label keys, label values and port names may look like.
//!
//! Each function returns the API server's reasons for refusing a value, in its words and order;
//! none if the value is good. They are the rules of apimachinery's `content` and `validation`
//! packages.

const DNS_1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS_1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_CHARACTERS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A rule on the name of an object.
pub(super) type NameRule = fn(&str) -> Vec<String>;

/// The name of a namespace and of most things that become a host name.
pub(super) fn dns_1123_label(value: &str) -> Vec<String> {
    let mut reasons = too_long(value, 63);
    if !is_dns_1123_label(value) {
        reasons.push(if is_dns_1123_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{DNS_1123_LABEL}')"
            )
        });
    }
    reasons
}

/// The name of most objects.
pub(super) fn dns_1123_subdomain(value: &str) -> Vec<String> {
    let mut reasons = too_long(value, 253);
    if !is_dns_1123_subdomain(value) {
        reasons.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{DNS_1123_SUBDOMAIN}')"
        ));
    }
    reasons
}

/// The name of a Service.
pub(super) fn dns_1035_label(value: &str) -> Vec<String> {
    let mut reasons = too_long(value, 63);
    if !is_dns_1123_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        reasons.push(format!(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{DNS_1035_LABEL}')"
        ));
    }
    reasons
}

/// The key of a label: an optional DNS prefix and a name.
pub(super) fn label_key(value: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                reasons.push("prefix part must be non-empty".to_owned());
            } else {
                let wrong = dns_1123_subdomain(prefix);
                reasons.extend(wrong.into_iter().map(|r| format!("prefix part {r}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {LABEL_CHARACTERS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{LABEL_NAME}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        reasons.push("name part must be non-empty".to_owned());
    }
    let long = too_long(name, 63);
    reasons.extend(long.into_iter().map(|r| format!("name part {r}")));
    if !is_label_name(name) {
        reasons.push(format!(
            "name part {LABEL_CHARACTERS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{LABEL_NAME}')"
        ));
    }
    reasons
}

/// The value of a label.
pub(super) fn label_value(value: &str) -> Vec<String> {
    let mut reasons = too_long(value, 63);
    if !value.is_empty() && !is_label_name(value) {
        reasons.push(format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({LABEL_NAME})?')"
        ));
    }
    reasons
}

/// The name of a port: an IANA service name in lower case (semantics 232).
pub(super) fn port_name(value: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut refuse = |wrong: bool, reason: &str| {
        if wrong {
            reasons.push(reason.to_owned());
        }
    };
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    refuse(value.len() > 15, "must be no more than 15 bytes");
    refuse(
        value.is_empty() || !value.chars().all(is_allowed),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    refuse(
        !value.contains(|c: char| c.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    refuse(value.contains("--"), "must not contain consecutive hyphens");
    refuse(
        value.starts_with('-') || value.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    reasons
}

/// A port number (semantics 231, 236).
pub(super) fn port_number(value: i32) -> Vec<String> {
    if (1..=65535).contains(&value) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

fn too_long(value: &str, most: usize) -> Vec<String> {
    if value.len() > most {
        vec![format!("must be no more than {most} bytes")]
    } else {
        Vec::new()
    }
}

fn is_dns_1123_label(value: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    value.starts_with(is_alphanumeric)
        && value.ends_with(is_alphanumeric)
        && value.chars().all(|c| is_alphanumeric(c) || c == '-')
}

fn is_dns_1123_subdomain(value: &str) -> bool {
    value.split('.').all(is_dns_1123_label)
}

fn is_label_name(value: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
    value.starts_with(is_alphanumeric)
        && value.ends_with(is_alphanumeric)
        && value
            .chars()
            .all(|c| is_alphanumeric(c) || matches!(c, '-' | '_' | '.'))
}
