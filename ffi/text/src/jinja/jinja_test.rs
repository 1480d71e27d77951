// SPDX-License-Identifier: Apache-2.0
//! Bounds that must hold whatever a template does; what templates print is tested from C++.

use super::Template;

fn fails(source: &str) -> String {
    let result = Template::new(source).and_then(|template| template.render("{}", "", 0));
    match result {
        Ok(text) => panic!("{source} gave {} bytes", text.len()),
        Err(error) => error.message().to_string(),
    }
}

/// n.x and n.y, small values of 2^100 items, used by `then`.
fn shared(open: &str, close: &str, then: &str) -> String {
    format!(
        "{{% set n = namespace(x={open}1,2{close}, y={open}1,2{close}) %}}{{% for i in range(100) %}}\
         {{% set n.x = {open}n.x, n.x{close} %}}{{% set n.y = {open}n.y, n.y{close} %}}{{% endfor %}}{then}"
    )
}

#[test]
fn hostile_templates_end() {
    let nested = "(".repeat(100_000);
    let sum = vec!["1"; 200_000].join("+");
    let deep = "{% if 1 %}".repeat(5000);
    for source in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ range(100000000) | list }}",
        "{{ 'x' * 100000000000 }}",
        "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        &shared("[", "]", "{{ n.x == n.y }}"),
        &shared("[", "]", "{{ n.x in [n.y] }}"),
        &shared("[", "]", "{{ [n.y, 1].index(n.x) }}"),
        &shared("[", "]", "{{ [n.x, n.y] | sort }}"),
        &shared("[", "]", "{{ [n.x, n.y] | max }}"),
        &shared("[", "]", "{% for i in [1, 2] %}{{ loop.changed(n.x) }}{% endfor %}"),
        &shared("(", ")", "{{ {n.x: 1} }}"),
        &shared("(", ")", "{{ [n.x] | unique | list | length }}"),
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 10 ** 1000000 }}",
        &format!("{{{{ {nested} }}}}"),
        &format!("{{{{ {sum} }}}}"),
        &deep,
    ] {
        let message = fails(source);
        assert!(!message.is_empty());
    }
}

#[test]
fn fields_are_numbered_in_one_way() {
    for source in ["{{ '{} {0!r}'.format('q') }}", "{{ '{0} {}'.format('q') }}", "{{ '{0:{}}'.format('q', 3) }}"] {
        assert!(fails(source).contains("cannot switch from"), "{source}");
    }
    let source = "{{ '{0}{x}{1}{0}|'.format('a', 'b', x='c') }}{{ '{}{x}{}'.format('a', 'b', x='c') }}";
    let text = Template::new(source).and_then(|template| template.render("{}", "", 0));
    assert!(text.is_ok_and(|text| text == "acba|acb"));
}

#[test]
fn cycles_end_and_print() {
    let source = "{% set a = namespace() %}{% set a.a = a %}{{ a }}";
    let text = Template::new(source).and_then(|template| template.render("{}", "", 0));
    assert!(text.is_ok_and(|text| text.starts_with("<Namespace {'a': <Namespace")));
}

#[test]
fn long_namespace_chains_are_freed_without_recursion() {
    let source = "{% set n = namespace(x=0) %}{% for i in range(100000) %}\
                  {% set n.x = namespace(x=n.x) %}{% endfor %}done";
    let text = Template::new(source).and_then(|template| template.render("{}", "", 0));
    assert!(text.is_ok_and(|text| text == "done"));
}
