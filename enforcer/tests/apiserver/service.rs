//! Addresses and node ports of Services.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{kind::Kind, status::Status, store::Store};

/// The ranges of ClusterIPs, as the ServiceCIDR object `kubernetes` has them.
pub(super) const RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The first node port, and the first that is given without being asked for.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;

/// The Service with what the server adds to it. `old` is what it replaces, whose addresses it keeps.
pub(super) fn allocated(
    store: &Store,
    kind: &Kind,
    mut service: Value,
    old: Option<&Value>,
) -> Result<Value, Status> {
    let name = service["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let others: Vec<_> = store
        .all(kind, "")
        .into_iter()
        .filter(|other| other["metadata"]["uid"] != service["metadata"]["uid"])
        .collect();
    let spec = &mut service["spec"];
    let default = |spec: &mut Value, field: &str, value: Value| {
        if spec[field].is_null() {
            spec[field] = value;
        }
    };
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "targetPort", number);
    }
    let kept = |field: &str| old.map(|old| old["spec"][field].clone());
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if let (true, Some(value)) = (spec[field].is_null(), kept(field)) {
            spec[field] = value;
        }
    }
    if spec["type"] == "ExternalName" {
        return Ok(service);
    }
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    let families = match spec["ipFamilyPolicy"].as_str() {
        Some("SingleStack") => json!(["IPv4"]),
        _ => json!(["IPv4", "IPv6"]),
    };
    default(spec, "ipFamilies", families);
    if spec["clusterIP"] == "None" {
        spec["clusterIPs"] = json!(["None"]);
    } else if spec["clusterIPs"].is_null() {
        let taken: BTreeSet<&str> = others
            .iter()
            .flat_map(|other| other["spec"]["clusterIPs"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        let families = spec["ipFamilies"].as_array().into_iter().flatten();
        let fresh = families.filter_map(|family| {
            let is_ipv6 = family == "IPv6";
            let mut ranges = RANGES
                .iter()
                .filter_map(|range| range.parse::<IpNet>().ok());
            let range = ranges.find(|range| range.addr().is_ipv6() == is_ipv6)?;
            let mut addresses = range.hosts().map(|address| address.to_string());
            addresses.find(|address| !taken.contains(address.as_str()))
        });
        let fresh: Vec<String> = fresh.collect();
        spec["clusterIP"] = json!(fresh.first());
        spec["clusterIPs"] = json!(fresh);
    }
    if spec["type"] == "NodePort" {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
        let ports = |service: &Value| -> Vec<u64> {
            let ports = service["spec"]["ports"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            ports
                .iter()
                .filter_map(|port| port["nodePort"].as_u64())
                .collect()
        };
        let mut taken: BTreeSet<u64> = others.iter().flat_map(|other| ports(other)).collect();
        let before = old.map(ports).unwrap_or_default();
        for (index, port) in spec["ports"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let number = port["nodePort"]
                .as_u64()
                .or_else(|| before.get(index).copied());
            let number = number.or_else(|| NODE_PORTS.clone().find(|it| !taken.contains(it)));
            let number = number.unwrap_or_default();
            if !taken.insert(number) || !NODE_PORTS.contains(&number) {
                let field = format!("spec.ports[{index}].nodePort");
                let why = format!("Invalid value: {number}: provided port is already allocated");
                return Err(Status::invalid(kind, &name, &[(field, why)]));
            }
            port["nodePort"] = json!(number);
        }
    }
    Ok(service)
}
