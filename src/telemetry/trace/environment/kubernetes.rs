//! Where in a cluster we run, as the downward API tells it in variables.
//!
//! Kubernetes names no variables for it: whoever writes the manifest does. Taken are the two usual spellings, `K8S_POD_NAME`
//! everywhere and `POD_NAME`, which other software may mean otherwise, only inside a pod, where `KUBERNETES_SERVICE_HOST`
//! is always set.

use opentelemetry_semantic_conventions::resource::{
    K8S_CLUSTER_NAME, K8S_CONTAINER_NAME, K8S_DEPLOYMENT_NAME, K8S_NAMESPACE_NAME, K8S_NODE_NAME,
    K8S_POD_NAME, K8S_POD_UID,
};

use super::Lookup;

/// Set in every pod.
const INSIDE: &str = "KUBERNETES_SERVICE_HOST";

/// Attributes, with the variable that counts everywhere and the one that counts inside a pod.
const VARIABLES: [(&str, &str, &str); 7] = [
    (K8S_POD_NAME, "K8S_POD_NAME", "POD_NAME"),
    (K8S_POD_UID, "K8S_POD_UID", "POD_UID"),
    (K8S_NAMESPACE_NAME, "K8S_NAMESPACE_NAME", "POD_NAMESPACE"),
    (K8S_NODE_NAME, "K8S_NODE_NAME", "NODE_NAME"),
    (K8S_CONTAINER_NAME, "K8S_CONTAINER_NAME", "CONTAINER_NAME"),
    (
        K8S_DEPLOYMENT_NAME,
        "K8S_DEPLOYMENT_NAME",
        "DEPLOYMENT_NAME",
    ),
    (K8S_CLUSTER_NAME, "K8S_CLUSTER_NAME", "CLUSTER_NAME"),
];

/// The attributes that the variables give.
pub(super) fn attributes(lookup: Lookup<'_>) -> Vec<(&'static str, String)> {
    let is_inside = lookup(INSIDE).is_some_and(|host| !host.is_empty());
    let text = |variable| lookup(variable).filter(|value: &String| !value.is_empty());
    let given = VARIABLES.iter().filter_map(|(key, anywhere, inside)| {
        let value = text(*anywhere).or_else(|| is_inside.then(|| text(*inside))?)?;
        Some((*key, value))
    });
    given.collect()
}
