#!/usr/bin/env python3
"""Writes protocol/src/generated/{ecs,ssm}.rs from the facts of the AWS service models.

Only names, types, required members, limits and enum values are taken; no prose. The models come with the
`botocore` package (PyPI), pinned in `generate/requirements.txt`.

    generate.py            write the files
    generate.py --check    say whether they are what the models give; exit 1 if not
"""
import gzip
import json
import pathlib
import re
import subprocess
import sys

import botocore

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "src" / "generated"
DATA = pathlib.Path(botocore.__file__).parent / "data"

SERVICES = {
    "ecs": ("2014-11-13", "ECS", """
        CreateCluster DescribeClusters ListClusters UpdateCluster DeleteCluster
        RegisterTaskDefinition DescribeTaskDefinition DeregisterTaskDefinition
        ListTaskDefinitions ListTaskDefinitionFamilies
        RunTask StartTask StopTask DescribeTasks ListTasks ExecuteCommand
        RegisterContainerInstance DescribeContainerInstances ListContainerInstances
        DeregisterContainerInstance UpdateContainerInstancesState
        DiscoverPollEndpoint SubmitTaskStateChange SubmitContainerStateChange
        ListTagsForResource TagResource UntagResource
    """.split()),
    "ssm": ("2014-11-06", "SSM", """
        CreateActivation DescribeActivations DeleteActivation
        DeregisterManagedInstance DescribeInstanceInformation AddTagsToResource
        ResumeSession TerminateSession
    """.split()),
}
# Members that the agents of the field send and the public model does not list.
EXTRA_MEMBERS = {
    ("ecs", "RegisterContainerInstanceRequest"): {"clientToken": "String"},
    ("ecs", "DiscoverPollEndpointRequest"): {"zoneId": "String"},
    # Longshore's own: kill at once instead of the stop sequence. Stock clients don't know it.
    ("ecs", "StopTaskRequest"): {"force": "Boolean"},
}
KEYWORDS = {"type", "ref", "match", "move", "use", "in", "where", "final", "override"}
SCALARS = {"string": "String", "integer": "i32", "long": "i64", "double": "f64",
           "boolean": "bool", "timestamp": "crate::Timestamp"}


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return f"r#{name}" if name in KEYWORDS else name


def constant(name):
    return snake(name).removeprefix("r#").upper()


class Model:
    def __init__(self, service):
        self.service = service
        self.version, self.label, self.operations = SERVICES[service]
        path = DATA / service / self.version / "service-2.json.gz"
        with gzip.open(path) as stream:
            model = json.load(stream)
        self.shapes, self.ops = model["shapes"], model["operations"]
        for extra in ("String", "Boolean"):
            self.shapes.setdefault(extra, {"type": extra.lower()})
        for (owner, shape), members in EXTRA_MEMBERS.items():
            if owner == service:
                for name, target in members.items():
                    self.shapes[shape]["members"][name] = {"shape": target}
        self.used = {}
        for operation in self.operations:
            for side in ("input", "output"):
                if side in self.ops[operation]:
                    self.walk(self.ops[operation][side]["shape"])

    def walk(self, name):
        if name in self.used:
            return
        shape = self.used[name] = self.shapes[name]
        if shape["type"] == "structure":
            for member in shape["members"].values():
                self.walk(member["shape"])
        elif shape["type"] == "list":
            self.walk(shape["member"]["shape"])
        elif shape["type"] == "map":
            self.walk(shape["key"]["shape"])
            self.walk(shape["value"]["shape"])

    def rust_type(self, name):
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "structure":
            return name
        if kind == "list":
            return f"Vec<{self.rust_type(shape['member']['shape'])}>"
        if kind == "map":
            return f"std::collections::BTreeMap<String, {self.rust_type(shape['value']['shape'])}>"
        return SCALARS[kind]

    def checks(self, name):
        """Statements that check a value `value` of this shape at `path`; empty when nothing can be wrong."""
        shape = self.shapes[name]
        kind = shape["type"]
        lines = []
        low, high = shape.get("min"), shape.get("max")
        bounds = f"{'None' if low is None else f'Some({low})'}, {'None' if high is None else f'Some({high})'}"
        if kind == "string":
            if "enum" in shape:
                lines.append(f"check::one_of(value, {constant(name)}, path)?;")
            elif low or high is not None:
                lines.append(f"check::length(value.chars().count(), {bounds}, path)?;")
        elif kind in ("integer", "long") and (low is not None or high is not None):
            lines.append(f"check::range(i64::from(*value), {bounds}, path)?;")
        elif kind == "list":
            if low or high is not None:
                lines.append(f"check::length(value.len(), {bounds}, path)?;")
            inner = self.checks(shape["member"]["shape"])
            if inner:
                lines.append("for (index, value) in value.iter().enumerate() { let path = &path.index(index); "
                             + " ".join(inner) + " }")
        elif kind == "map":
            inner = self.checks(shape["key"]["shape"])
            if inner:
                lines.append("for value in value.keys() { let path = &path.member(value); " + " ".join(inner) + " }")
            inner = self.checks(shape["value"]["shape"])
            if inner:
                lines.append("for (key, value) in value { let path = &path.member(key); " + " ".join(inner) + " }")
        elif kind == "structure":
            lines.append("value.check(path)?;")
        return lines

    def structure(self, name):
        shape = self.used[name]
        required = shape.get("required", [])
        out = [f"/// `{name}` of the {self.label} API, version {self.version}.",
               "#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]",
               "#[serde(default)]",
               f"pub struct {name} {{"]
        for member, target in shape["members"].items():
            must = "; required" if member in required else ""
            out.append(f"    /// `{member}`{must}.")
            out.append(f'    #[serde(rename = "{member}", skip_serializing_if = "Option::is_none")]')
            out.append(f"    pub {snake(member)}: Option<{self.rust_type(target['shape'])}>,")
        out.append("}")
        out.append(f"impl Check for {name} {{")
        body = []
        for member, target in shape["members"].items():
            field = snake(member)
            if member in required:
                body.append(f'check::present(&self.{field}, &path.member("{member}"))?;')
            inner = self.checks(target["shape"])
            if inner:
                body.append(f"if let Some(value) = &self.{field} {{ let path = &path.member(\"{member}\"); "
                            + " ".join(inner) + " }")
        argument = "path" if body else "_path"
        out.append(f"    fn check(&self, {argument}: &Path<'_>) -> Result<(), Violation> {{")
        out += [f"        {line}" for line in body]
        out += ["        Ok(())", "    }", "}", ""]
        return out

    def enum(self, name):
        values = ", ".join(f'"{value}"' for value in self.used[name]["enum"])
        return [f"/// The values of `{name}` in the {self.label} API, version {self.version}.",
                f"pub const {constant(name)}: &[&str] = &[{values}];", ""]

    def render(self):
        out = [f"//! The shapes of the {self.label} API ({self.version}) that Longshore serves.",
               "//!",
               "//! Made by `protocol/generate/generate.py` from the facts of the service model; don't edit.",
               "//! Every member is optional here, as the wire allows; [`Check`] says what the model requires.",
               "",
               "use serde::{Deserialize, Serialize};",
               "",
               "use crate::check::{self, Check, Path, Violation};",
               ""]
        for name in sorted(self.used):
            shape = self.used[name]
            if shape["type"] == "string" and "enum" in shape:
                out += self.enum(name)
        for name in sorted(self.used):
            if self.used[name]["type"] == "structure":
                out += self.structure(name)
        return "\n".join(out) + "\n"


def formatted(text):
    return subprocess.run(["rustfmt", "--edition", "2024", "--config-path", str(HERE.parent.parent)],
                          input=text, capture_output=True, text=True, check=True).stdout


def main():
    stale = []
    OUT.mkdir(exist_ok=True)
    for service in SERVICES:
        path = OUT / f"{service}.rs"
        text = formatted(Model(service).render())
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path))
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"not what botocore {botocore.__version__} gives: {', '.join(stale)}; run protocol/generate/generate.py")


main()
