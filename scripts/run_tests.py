#!/usr/bin/env python3
"""Runs CTest over a build folder: pick by suite or partition, and show the slowest tests at the end.

All knowledge of a test (suite and needs as labels, expected seconds as COST) is CTest's own.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

NEEDS = ("gpu", "network", "slow")


def tests_of(build):
    text = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True, text=True).stdout
    tests = []
    for test in json.loads(text)["tests"]:
        properties = {item["name"]: item["value"] for item in test.get("properties", [])}
        labels = properties.get("LABELS", [])
        tests.append({
            "name": test["name"],
            "suites": [label for label in labels if label not in NEEDS],
            "needs": [label for label in labels if label in NEEDS],
            "cost": float(properties.get("COST", 1)),
        })
    return tests


def partition(tests, index, count):
    """Longest first, each to the part that has least so far."""
    loads = [0.0] * count
    parts = [[] for _ in range(count)]
    for test in sorted(tests, key=lambda test: (-test["cost"], test["name"])):
        least = loads.index(min(loads))
        loads[least] += test["cost"]
        parts[least].append(test)
    return parts[index - 1]


def slowest(junit, count=10):
    if not os.path.exists(junit):
        return
    cases = [(float(case.get("time", 0)), case.get("name")) for case in ElementTree.parse(junit).getroot().iter("testcase")]
    print("\nslowest tests:")
    for seconds, name in sorted(cases, reverse=True)[:count]:
        print(f"  {seconds:8.1f} s  {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--list", action="store_true", help="show the tests, run none")
    parser.add_argument("--suite", action="append", default=[], help="only this suite; may be repeated")
    parser.add_argument("--partition", metavar="I/N", help="the I-th of N parts of equal expected time")
    parser.add_argument("--slow", action="store_true", help="also tests that need long (label slow)")
    options = parser.parse_args()

    tests = tests_of(options.build)
    if not tests:
        parser.error(f"no test is registered in {options.build}: was it configured with BANYAN_TESTS=ON?")
    known = sorted({suite for test in tests for suite in test["suites"]})
    for suite in options.suite:
        if suite not in known:
            parser.error(f"no suite '{suite}'; there are: {', '.join(known)}")
    if options.suite:
        tests = [test for test in tests if set(test["suites"]) & set(options.suite)]
    if not options.slow:
        tests = [test for test in tests if "slow" not in test["needs"]]
    if options.partition:
        match = re.fullmatch(r"(\d+)/(\d+)", options.partition)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            parser.error("--partition is I/N with 1 <= I <= N")
        tests = partition(tests, int(match[1]), int(match[2]))

    if options.list:
        print(f"{'test':32} {'suites':32} {'seconds':>8}  needs")
        for test in sorted(tests, key=lambda test: test["name"]):
            print(f"{test['name']:32} {','.join(test['suites']):32} {test['cost']:8.0f}  {','.join(test['needs'])}")
        return 0
    if not tests:
        print("no test is left to run in this part")
        return 0
    junit = os.path.join(os.path.abspath(options.build), "tests.xml")
    pattern = "^(" + "|".join(re.escape(test["name"]) for test in tests) + ")$"
    status = subprocess.run(["ctest", "--output-on-failure", "--output-junit", junit, "-R", pattern], cwd=options.build).returncode
    slowest(junit)
    return status


if __name__ == "__main__":
    sys.exit(main())
