"""Build ops/kubernetes as `kubectl kustomize` does, as far as these files need it.

Known: resources, labels with templates, strategic-merge patches by name or by target, namespace and images. Anything else
in a kustomization fails, so that no file can rely on what is not tried here.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

KNOWN = {"apiVersion", "kind", "resources", "labels", "patches", "namespace", "images"}
# Lists whose items are merged by a key; all others are replaced. As in the schemas of Kubernetes (`patchMergeKey`).
MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "topologySpreadConstraints": "topologyKey",
}


class KustomizeError(Exception):
    """A kustomization that cannot be built."""


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder with a kustomization.yaml."""
    (kustomization,) = read_manifests(folder / "kustomization.yaml")
    if unknown := set(kustomization) - KNOWN:
        raise KustomizeError(f"{folder}: this build does not know {sorted(unknown)}.")
    manifests: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        manifests += build(path) if path.is_dir() else read_manifests(path)
    for entry in kustomization.get("patches", []):
        text = entry["patch"] if "patch" in entry else (folder / entry["path"]).read_text()
        manifests = _apply(list(yaml.safe_load_all(text)), entry.get("target"), manifests)
    for manifest in manifests:
        for entry in kustomization.get("labels", []):
            _add_labels(manifest, entry)
        if namespace := kustomization.get("namespace"):
            manifest["metadata"]["namespace"] = namespace
        for container in list_containers(manifest):
            for image in kustomization.get("images", []):
                name, _, tag = container["image"].rpartition(":")
                if name == image["name"]:
                    container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
    return manifests


def read_manifests(path: Path) -> list[Manifest]:
    """Return the documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def get_template(manifest: Manifest) -> Manifest | None:
    """Return the template of a manifest's pods; None when it has none."""
    return manifest.get("spec", {}).get("template") if manifest["kind"] in {"Deployment", "Job"} else None


def list_containers(manifest: Manifest) -> list[Manifest]:
    """Return the containers of a manifest's pods."""
    template = get_template(manifest)
    return template["spec"]["containers"] if template else []


def _apply(patches: list[Manifest], target: Manifest | None, manifests: list[Manifest]) -> list[Manifest]:
    for patch in patches:
        selected = [manifest for manifest in manifests if _is_selected(manifest, target, patch)]
        if not selected:
            raise KustomizeError(f"No manifest for the patch of {patch['kind']} {patch['metadata']['name']}.")
        kept = []
        for manifest in manifests:
            if manifest not in selected:
                kept.append(manifest)
            elif patch.get("$patch") != "delete":
                names = {"kind": manifest["kind"], "apiVersion": manifest["apiVersion"]}
                merged = _merge(manifest, patch) | names
                merged["metadata"]["name"] = manifest["metadata"]["name"]
                kept.append(merged)
        manifests = kept
    return manifests


def _is_selected(manifest: Manifest, target: Manifest | None, patch: Manifest) -> bool:
    if target is None:
        return (manifest["kind"], manifest["metadata"]["name"]) == (patch["kind"], patch["metadata"]["name"])
    if unknown := set(target) - {"kind", "labelSelector"}:
        raise KustomizeError(f"This build does not know {sorted(unknown)} in a target.")
    label, _, value = target.get("labelSelector", "").partition("=")
    labels = manifest["metadata"].get("labels", {})
    return manifest["kind"] == target["kind"] and (not label or labels.get(label) == value)


def _merge(old: Any, new: Any, field: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        merged = copy.deepcopy(old)
        for name, value in new.items():
            merged[name] = _merge(old[name], value, name) if name in old else copy.deepcopy(value)
        return merged
    if field in MERGE_KEYS and isinstance(old, list) and isinstance(new, list):
        key = MERGE_KEYS[field]
        by_key = {item[key]: item for item in old}
        for item in new:
            by_key[item[key]] = _merge(by_key.get(item[key], {}), item)
        return list(by_key.values())
    return copy.deepcopy(new)


def _add_labels(manifest: Manifest, entry: Manifest) -> None:
    targets = [manifest]
    if entry.get("includeTemplates") and (template := get_template(manifest)):
        targets.append(template)
    for target in targets:
        labels = target.setdefault("metadata", {}).setdefault("labels", {})
        labels |= entry["pairs"]
