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
