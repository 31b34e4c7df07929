//! What comes of good scenarios.

use super::plays;

#[test]
fn print() {
    for f in ["isolation/deny-all.yaml","peers/allow-from-label.yaml","peers/namespace-boundary.yaml"] {
        let p = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(f);
        match crate::scenario::load(&p) {
            Ok(s) => for s in s {
                println!("{} cells {} control {} {}", s.name, s.steps.iter().map(|s| s.cells().len()).sum::<usize>(), s.control.len(), s.final_control.len());
                for st in &s.steps { println!("  {} {:?}", st.name, st.changes.iter().map(|c| c.to_string()).collect::<Vec<_>>());
                  for e in &st.expectations { let mut n = std::collections::BTreeMap::new(); for c in &e.cells { *n.entry(c.expected).or_insert(0) += 1; } println!("    {} {:?}", e.location, n); } }
            },
            Err(e) => println!("{e}"),
        }
    }
    let _ = plays;
}
