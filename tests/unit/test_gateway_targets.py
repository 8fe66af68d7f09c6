"""Who the target is: the alerts that kube-prometheus, kubernetes-mixin and node-exporter publish, and Prometheus's
`up`, with the labels that their rules leave on them, held against the identity that counts without a file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from doors import signals_of, webhook

from remediation_orchestrator.events import SignalReceived
from remediation_orchestrator.gateway.formats.alertmanager import items_of
from remediation_orchestrator.gateway.identity import DEFAULT, Identified, IdentityRules
from remediation_orchestrator.gateway.items import LeftOut
from remediation_orchestrator.gateway.targets import LEAVE_OUT, TARGET

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "examples" / "identity.yaml"
# What a scrape adds. kube-prometheus takes kube-state-metrics' own pod off what that says; charts leave it there.
STATE = {"job": "kube-state-metrics", "instance": "10.244.1.5:8443", "container": "kube-rbac-proxy-main"}
CHART = {
    **STATE,
    "namespace": "monitoring",
    "pod": "kps-kube-state-metrics-7d9c5b8f6d-b4xk2",
    "service": "kps-kube-state-metrics",
    "endpoint": "http",
}
EXPORTER = {
    "job": "node-exporter",
    "instance": "worker-1",
    "namespace": "monitoring",
    "pod": "node-exporter-x2x4z",
    "container": "kube-rbac-proxy",
    "service": "node-exporter",
    "endpoint": "https",
}
KUBELET = {
    "job": "kubelet",
    "instance": "10.0.0.7:10250",
    "node": "worker-1",
    "namespace": "kube-system",
    "service": "kubelet",
    "endpoint": "https-metrics",
    "metrics_path": "/metrics",
}
API = {
    "job": "apiserver",
    "instance": "10.0.0.1:6443",
    "namespace": "default",
    "service": "kubernetes",
    "endpoint": "https",
}
PROMETHEUS = {
    "job": "prometheus-k8s",
    "instance": "10.244.1.9:9090",
    "namespace": "monitoring",
    "pod": "prometheus-k8s-0",
    "container": "prometheus",
    "service": "prometheus-k8s",
    "endpoint": "web",
}
SHOP = {"namespace": "shop"}
POD = {**SHOP, "pod": "shop-5d8f9c7b6-x2x4z"}
QUOTA = {**SHOP, "resourcequota": "compute", "resource": "pods", "type": "used"}
CLAIM = {**KUBELET, **SHOP, "persistentvolumeclaim": "data-db-0"}
DISK = {**EXPORTER, "device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4"}
NIC = {**EXPORTER, "device": "eth0"}

# Alert, the labels beside its name, and the target without its cluster: [namespace/]Kind/name.
ALERTS: list[tuple[str, dict[str, str], str]] = [
    # kubernetes-apps
    ("KubePodCrashLooping", {**STATE, **POD, "reason": "CrashLoopBackOff", "uid": "1"}, "shop/Deployment/shop"),
    ("KubePodCrashLooping", {**CHART, **SHOP, "pod": "db-0", "reason": "CrashLoopBackOff"}, "shop/Pod/db-0"),
    ("KubePodNotReady", POD, "shop/Deployment/shop"),
    ("KubePodNotReady", {**SHOP, "pod": "fluentd-7kx2p"}, "shop/Pod/fluentd-7kx2p"),
    ("KubePodNotReady", {**SHOP, "pod": "backup-29245678-x2x4z"}, "shop/Pod/backup-29245678-x2x4z"),
    ("KubeContainerWaiting", {**POD, "container": "shop", "reason": "ImagePullBackOff"}, "shop/Deployment/shop"),
    ("KubeDeploymentGenerationMismatch", {**STATE, **SHOP, "deployment": "shop"}, "shop/Deployment/shop"),
    ("KubeDeploymentReplicasMismatch", {**CHART, **SHOP, "deployment": "shop"}, "shop/Deployment/shop"),
    ("KubeDeploymentRolloutStuck", {**STATE, **SHOP, "deployment": "shop"}, "shop/Deployment/shop"),
    ("KubeStatefulSetReplicasMismatch", {**STATE, **SHOP, "statefulset": "db"}, "shop/StatefulSet/db"),
    ("KubeStatefulSetGenerationMismatch", {**CHART, **SHOP, "statefulset": "db"}, "shop/StatefulSet/db"),
    ("KubeStatefulSetUpdateNotRolledOut", {**STATE, **SHOP, "statefulset": "db"}, "shop/StatefulSet/db"),
    ("KubeDaemonSetRolloutStuck", {**STATE, **SHOP, "daemonset": "fluentd"}, "shop/DaemonSet/fluentd"),
    ("KubeDaemonSetNotScheduled", {**CHART, **SHOP, "daemonset": "fluentd"}, "shop/DaemonSet/fluentd"),
    ("KubeDaemonSetMisScheduled", {**STATE, **SHOP, "daemonset": "fluentd"}, "shop/DaemonSet/fluentd"),
    ("KubeJobNotCompleted", {**SHOP, "job_name": "backup-29245678"}, "shop/Job/backup-29245678"),
    ("KubeJobFailed", {**CHART, **SHOP, "job_name": "migrate", "condition": "true"}, "shop/Job/migrate"),
    (
        "KubeHpaReplicasMismatch",
        {**STATE, **SHOP, "horizontalpodautoscaler": "shop"},
        "shop/HorizontalPodAutoscaler/shop",
    ),
    ("KubeHpaMaxedOut", {**CHART, **SHOP, "horizontalpodautoscaler": "a"}, "shop/HorizontalPodAutoscaler/a"),
    ("KubePdbNotEnoughHealthyPods", {**SHOP, "poddisruptionbudget": "db"}, "shop/PodDisruptionBudget/db"),
    # kubernetes-resources
    ("KubeCPUOvercommit", {}, "Cluster/eu-1"),
    ("KubeMemoryOvercommit", {}, "Cluster/eu-1"),
    ("KubeCPUQuotaOvercommit", {}, "Cluster/eu-1"),
    ("KubeMemoryQuotaOvercommit", {}, "Cluster/eu-1"),
    ("KubeQuotaAlmostFull", {**STATE, **QUOTA}, "shop/ResourceQuota/compute"),
    ("KubeQuotaFullyUsed", {**CHART, **QUOTA}, "shop/ResourceQuota/compute"),
    ("KubeQuotaExceeded", QUOTA, "shop/ResourceQuota/compute"),
    ("CPUThrottlingHigh", {**POD, "container": "shop"}, "shop/Deployment/shop"),
    # kubernetes-storage
    ("KubePersistentVolumeFillingUp", CLAIM, "shop/PersistentVolumeClaim/data-db-0"),
    ("KubePersistentVolumeInodesFillingUp", CLAIM, "shop/PersistentVolumeClaim/data-db-0"),
    (
        "KubePersistentVolumeErrors",
        {**CHART, "persistentvolume": "pv-1", "phase": "Failed"},
        "PersistentVolume/pv-1",
    ),
    # kubernetes-system and its parts
    ("KubeVersionMismatch", {}, "Cluster/eu-1"),
    (
        "KubeClientErrors",
        {"instance": "10.0.0.1:6443", "job": "apiserver", "namespace": "default"},
        "Host/10.0.0.1",
    ),
    ("KubeAPIErrorBudgetBurn", {"long": "1h", "short": "5m"}, "Cluster/eu-1"),
    ("KubeClientCertificateExpiration", API, "Host/10.0.0.1"),
    (
        "KubeAggregatedAPIErrors",
        {"name": "v1beta1.metrics.k8s.io", "namespace": "default", "reason": "x"},
        "APIService/v1beta1.metrics.k8s.io",
    ),
    ("KubeAggregatedAPIDown", {"name": "v1.x", "namespace": "default"}, "APIService/v1.x"),
    ("KubeAPIDown", {"job": "apiserver"}, "ScrapeJob/apiserver"),
    ("KubeAPITerminatedRequests", {}, "Cluster/eu-1"),
    ("KubeNodeNotReady", {**STATE, "node": "worker-1", "condition": "Ready", "status": "true"}, "Node/worker-1"),
    ("KubeNodeNotReady", {**CHART, "node": "worker-2", "condition": "Ready"}, "Node/worker-2"),
    ("KubeNodePressure", {**CHART, "node": "worker-1", "condition": "DiskPressure"}, "Node/worker-1"),
    ("KubeNodeUnreachable", {**CHART, "node": "worker-1", "effect": "NoSchedule"}, "Node/worker-1"),
    ("KubeNodeEviction", {"eviction_signal": "memory.available", "node": "worker-1"}, "Node/worker-1"),
    ("KubeletTooManyPods", {"node": "worker-1"}, "Node/worker-1"),
    ("KubeNodeReadinessFlapping", {"node": "worker-1"}, "Node/worker-1"),
    ("KubeletPlegDurationHigh", {"instance": "10.0.0.7:10250", "node": "worker-1"}, "Node/worker-1"),
    ("KubeletPodStartUpLatencyHigh", {"instance": "10.0.0.7:10250", "node": "worker-1"}, "Node/worker-1"),
    ("KubeletClientCertificateExpiration", KUBELET, "Node/worker-1"),
    ("KubeletServerCertificateRenewalErrors", KUBELET, "Node/worker-1"),
    ("KubeletDown", {"job": "kubelet", "metrics_path": "/metrics"}, "ScrapeJob/kubelet"),
    ("KubeSchedulerDown", {"job": "kube-scheduler"}, "ScrapeJob/kube-scheduler"),
    ("KubeControllerManagerDown", {"job": "kube-controller-manager"}, "ScrapeJob/kube-controller-manager"),
    ("KubeProxyDown", {"job": "kube-proxy"}, "ScrapeJob/kube-proxy"),
    ("KubeStateMetricsListErrors", {}, "Cluster/eu-1"),
    ("KubeStateMetricsShardingMismatch", {}, "Cluster/eu-1"),
    # node-exporter
    ("NodeFilesystemSpaceFillingUp", DISK, "Node/worker-1"),
    ("NodeFilesystemAlmostOutOfSpace", {**DISK, "instance": "worker-2"}, "Node/worker-2"),
    ("NodeFilesystemFilesFillingUp", {**DISK, "instance": "10.0.0.7:9100"}, "Host/10.0.0.7"),
    ("NodeFilesystemAlmostOutOfFiles", {**DISK, "instance": "10.0.0.7:9100", "node": "worker-1"}, "Node/worker-1"),
    ("NodeNetworkReceiveErrs", NIC, "Node/worker-1"),
    ("NodeNetworkTransmitErrs", NIC, "Node/worker-1"),
    ("NodeNetworkInterfaceFlapping", NIC, "Node/worker-1"),
    ("NodeHighNumberConntrackEntriesUsed", EXPORTER, "Node/worker-1"),
    ("NodeTextFileCollectorScrapeError", EXPORTER, "Node/worker-1"),
    ("NodeClockSkewDetected", EXPORTER, "Node/worker-1"),
    ("NodeClockNotSynchronising", EXPORTER, "Node/worker-1"),
    ("NodeRAIDDegraded", DISK, "Node/worker-1"),
    ("NodeRAIDDiskFailure", DISK, "Node/worker-1"),
    ("NodeFileDescriptorLimit", EXPORTER, "Node/worker-1"),
    ("NodeCPUHighUsage", EXPORTER, "Node/worker-1"),
    ("NodeSystemSaturation", EXPORTER, "Node/worker-1"),
    ("NodeMemoryMajorPagesFaults", EXPORTER, "Node/worker-1"),
    ("NodeMemoryHighUtilization", EXPORTER, "Node/worker-1"),
    ("NodeDiskIOSaturation", NIC, "Node/worker-1"),
    ("NodeSystemdServiceFailed", {**EXPORTER, "name": "sshd.service", "state": "failed"}, "Node/worker-1"),
    ("NodeBondingDegraded", {**EXPORTER, "master": "bond0"}, "Node/worker-1"),
    ("NodeFilesystemSpaceFillingUp", {"job": "node", "instance": "db-1:9100", "device": "sda1"}, "Host/db-1"),
    # general rules, and those of the stack itself
    ("TargetDown", {**SHOP, "job": "shop", "service": "shop"}, "shop/Service/shop"),
    ("AlertmanagerClusterDown", {"namespace": "monitoring", "service": "am"}, "monitoring/Service/am"),
    (
        "AlertmanagerFailedReload",
        {**PROMETHEUS, "pod": "alertmanager-main-0"},
        "monitoring/Pod/alertmanager-main-0",
    ),
    ("PrometheusBadConfig", PROMETHEUS, "monitoring/Pod/prometheus-k8s-0"),
    ("PrometheusOperatorListErrors", {"controller": "x", "namespace": "m", "job": "po"}, "ScrapeJob/po"),
    (
        "ConfigReloaderSidecarErrors",
        {**PROMETHEUS, "container": "config-reloader"},
        "monitoring/Pod/prometheus-k8s-0",
    ),
    (
        "CoreDNSPanic",
        {"job": "coredns", "namespace": "d", "pod": "coredns-64897985d-8x7mz"},
        "d/Deployment/coredns",
    ),
    (
        "etcdNoLeader",
        {"job": "etcd", "instance": "10.0.0.1:2379", "pod": "etcd-m1", "namespace": "k"},
        "k/Pod/etcd-m1",
    ),
    # `up == 0`, as Prometheus itself says it
    ("InstanceDown", {"job": "node", "instance": "db-1.example.com:9100"}, "Host/db-1.example.com"),
    ("InstanceDown", {"job": "node", "instance": "[2001:db8::7]:9100"}, "Host/[2001:db8::7]"),
    ("InstanceDown", {"job": "blackbox", "instance": "https://shop.example/"}, "Endpoint/https://shop.example/"),
    ("InstanceDown", {"job": "shop", "instance": "10.2.0.4:80", **POD, "service": "shop"}, "shop/Deployment/shop"),
    ("InstanceDown", KUBELET, "Node/worker-1"),
    ("InstanceDown", API, "Host/10.0.0.1"),
    ("InstanceDown", EXPORTER, "Node/worker-1"),
    ("InstanceDown", CHART, "monitoring/Deployment/kps-kube-state-metrics"),
    # Where a scrape does not honour the labels of what it scrapes
    (
        "KubePodCrashLooping",
        {**CHART, "exported_namespace": "shop", "exported_pod": "shop-5d8f9c7b6-x2x4z"},
        "shop/Deployment/shop",
    ),
    ("KubeNodeNotReady", {**CHART, "exported_node": "worker-1", "node": "worker-9"}, "Node/worker-1"),
    ("BatchLate", {"job": "pushgateway", "instance": "pg:9091", "exported_job": "nightly"}, "Host/pg"),
]


def alert(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """The alert as Prometheus sends it: `cluster` is an external label."""
    return {"status": "firing", "labels": {"alertname": name, "severity": "warning", "cluster": "eu-1", **labels}}


@pytest.mark.parametrize(("name", "labels", "target"), ALERTS)
def test_a_published_alert_is_about_what_a_reader_of_kubernetes_says(
    name: str, labels: dict[str, str], target: str
) -> None:
    """Never about who was scraped, as long as anything says more."""
    (signal,) = signals_of(webhook(alert(name, labels)), NOW)
    assert isinstance(signal, SignalReceived)
    assert str(signal.target) == f"eu-1/{target}"


def test_two_of_a_kind_are_two_targets() -> None:
    """Two crashing workloads, two nodes and two hosts of one scrape job are as many targets."""
    pairs = [
        [("KubePodCrashLooping", {**STATE, **SHOP, "pod": f"{one}-5d8f9c7b6-x2x4z"}) for one in ("shop", "cart")],
        [("KubeNodeNotReady", {**CHART, "node": one}) for one in ("worker-1", "worker-2")],
        [("NodeClockSkewDetected", {"job": "node", "instance": f"{one}:9100"}) for one in ("db-1", "db-2")],
    ]
    for pair in pairs:
        one, two = signals_of(webhook(*(alert(name, labels) for name, labels in pair)), NOW)
        assert one.target != two.target


def test_a_pod_and_its_replacement_are_one_target() -> None:
    """Where a Deployment made both; a StatefulSet's pod is called the same again anyway."""
    pods = ("shop-5d8f9c7b6-x2x4z", "shop-5d8f9c7b6-mq9tt", "shop-6c7d8b9f55-7w2hk")
    found = {one.target for one in signals_of(webhook(*(alert("X", {**SHOP, "pod": pod}) for pod in pods)), NOW)}
    assert {str(one) for one in found} == {"eu-1/shop/Deployment/shop"}


@pytest.mark.parametrize(
    "pod",
    ["shop-aeiou12345-x2x4z", "shop-5d8f9c7b6-x2x4", "shop-5d8f9c7-x2x4z", "5d8f9c7b6-x2x4z", "db-0", "x2x4z"],
)
def test_a_pod_whose_name_was_not_made_for_a_deployment_is_the_target_itself(pod: str) -> None:
    """Another alphabet, another length, or nothing before it."""
    (signal,) = signals_of(webhook(alert("X", {**SHOP, "pod": pod})), NOW)
    assert str(signal.target) == f"eu-1/shop/Pod/{pod}"


@pytest.mark.parametrize("name", ["Watchdog", "InfoInhibitor"])
def test_what_always_fires_is_left_out(name: str) -> None:
    """kube-prometheus says of both that their severity is none; so does the end of one."""
    for status in ("firing", "resolved"):
        (item,) = items_of(webhook({"status": status, "labels": {"alertname": name, "severity": "none"}}), NOW)
        assert isinstance(item, LeftOut)
        assert item.line() == "alerts[0]: left out: severity is 'none'"


def test_the_next_way_that_leads_elsewhere_is_named() -> None:
    """So that whoever sees the wrong target sees which label to move."""
    found = DEFAULT.identify({"alertname": "X", "pod": "db-0", "node": "worker-1", "job": "kubelet"}, "labels")
    assert isinstance(found, Identified)
    assert found.by["target"].endswith("label pod")
    assert found.by["runner-up"].startswith("Node/worker-1: target[")
    assert found.by["runner-up"].endswith("label node")
    alone = DEFAULT.identify({"alertname": "X", "pod": "db-0"}, "labels")
    assert isinstance(alone, Identified)
    assert "runner-up" not in alone.by


def test_a_cluster_that_the_door_was_told_of_is_the_target_where_nothing_else_is() -> None:
    """Of Kubernetes' own alerts alone: another that names nothing is about nobody knows what."""
    rules = IdentityRules.model_validate({"defaults": {"cluster": "eu-1"}})
    found = rules.identify({"alertname": "KubeVersionMismatch"}, "labels")
    assert isinstance(found, Identified)
    assert (str(found.target), found.by["cluster"]) == ("eu-1/Cluster/eu-1", "defaults")
    assert isinstance(rules.identify({"alertname": "ShopSlow"}, "labels"), list)
    assert isinstance(DEFAULT.identify({"alertname": "KubeVersionMismatch"}, "labels"), list)


def test_the_example_of_an_identity_ends_with_what_counts_without_one() -> None:
    """Word for word: whoever copies it begins with what there is."""
    example = yaml.safe_load(EXAMPLE.read_text())
    assert example["target"][-len(TARGET) :] == TARGET
    assert example["leave_out"] == LEAVE_OUT
