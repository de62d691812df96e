//! `sightglass generate grafana`: one dashboard that fits a configuration.
//!
//! The panels are those of the shipped dashboards, which `grafana/make.py` writes and which are in the binary as they are:
//! a query is written once, there. Here they are chosen and put together by name: a row for each route and upstream,
//! without the panels of what it does not have, and no variable but source and instance. To say the panels again in
//! Rust was rejected: two sources drift, and a dashboard is data.

use serde_json::{Value, json};

use crate::config::{Name, Plan, Route};
use crate::telemetry::slo::of_plan;

const OVERVIEW: &str = include_str!("../../grafana/dashboards/sightglass.json");
const ROUTE: &str = include_str!("../../grafana/dashboards/sightglass-route.json");
const UPSTREAM: &str = include_str!("../../grafana/dashboards/sightglass-upstream.json");
const OBJECTIVES: &str = include_str!("../../grafana/dashboards/sightglass-slo.json");

/// The row of the overview that is taken over.
const FIRST_ROW: &str = "Overview";

/// Says whether a route has what a panel is about.
type Needs = fn(&Route) -> bool;

/// Panels of a route, by title, that need something of it.
const NEEDS: [(&str, Needs); 4] = [
    ("Retries", |route| route.retry.is_some()),
    ("Retry budget exhausted", |route| route.retry.is_some()),
    ("Attempts an exchange", |route| route.retry.is_some()),
    ("Refused by limits", |route| {
        route.rate_limit.is_some() || route.concurrency.is_some()
    }),
];

/// How wide a dashboard is.
const COLUMNS: u64 = 24;

/// What stands in queries for the variables of the shipped dashboards.
struct Names {
    route: String,
    upstream: String,
    listener: String,
}

/// Panels that are laid out from left to right.
#[derive(Default)]
struct Sheet {
    panels: Vec<Value>,
    y: u64,
    id: u64,
}

/// The dashboard as JSON.
#[must_use]
pub fn dashboard(plan: &Plan) -> String {
    let of_routes = plan.routes.iter().map(|route| &route.name);
    let of_upstreams = plan.upstreams.iter().map(|upstream| &upstream.name);
    let all = Names {
        route: format!("{}|_unmatched", any_of(of_routes)),
        upstream: any_of(of_upstreams),
        listener: any_of(plan.listeners.iter().map(|listener| &listener.name)),
    };
    let mut sheet = Sheet::default();
    sheet.row(FIRST_ROW, false, first_row(&read(OVERVIEW)), &all);
    if !of_plan(plan).is_empty() {
        sheet.row("Error budgets", false, panels(&read(OBJECTIVES)), &all);
    }
    let of_a_route = read(ROUTE);
    let of_objectives: Vec<Value> = titles(&panels(&read(OBJECTIVES)));
    for route in &plan.routes {
        let to = route
            .to
            .iter()
            .filter_map(|to| plan.upstreams.get(to.upstream));
        let names = Names {
            route: any_of([&route.name]),
            upstream: any_of(to.map(|upstream| &upstream.name)),
            listener: all.listener.clone(),
        };
        let mut fitting = panels(&of_a_route);
        fitting.retain(|panel| {
            let needs = NEEDS.iter().find(|(title, _)| panel["title"] == *title);
            needs.is_none_or(|(_, needs)| needs(route))
                && (route.slo.is_some() || !of_objectives.contains(&panel["title"]))
        });
        sheet.row(&format!("Route {}", route.name), true, fitting, &names);
    }
    for upstream in &plan.upstreams {
        let names = Names {
            route: all.route.clone(),
            upstream: any_of([&upstream.name]),
            listener: all.listener.clone(),
        };
        let title = format!("Upstream {}", upstream.name);
        sheet.row(&title, true, panels(&read(UPSTREAM)), &names);
    }

    let mut made = read(OVERVIEW);
    made["uid"] = json!("sightglass-generated");
    made["title"] = json!("sightglass, as configured");
    made["description"] = json!(
        "Made by `sightglass generate grafana`: the routes, upstreams and objectives of one configuration."
    );
    made["panels"] = json!(sheet.panels);
    let kept =
        |variable: &Value| variable["type"] == "datasource" || variable["name"] == "instance";
    if let Some(variables) = made["templating"]["list"].as_array_mut() {
        variables.retain(kept);
    }
    for annotation in items(&mut made["annotations"]["list"]) {
        all.fill(&mut annotation["expr"]);
    }
    format!("{made:#}\n")
}

// === impl Names ===

impl Names {
    /// Puts the names where a query has a variable.
    fn fill(&self, query: &mut Value) {
        let Some(text) = query.as_str() else { return };
        let filled = text
            .replace("$route", &self.route)
            .replace("$upstream", &self.upstream)
            .replace("$listener", &self.listener);
        *query = json!(filled);
    }
}

// === impl Sheet ===

impl Sheet {
    /// A row of panels; those of a collapsed one are in it, and asked for only when it is opened.
    fn row(&mut self, title: &str, is_collapsed: bool, panels: Vec<Value>, names: &Names) {
        let top = self.y;
        let row = self.next_id();
        self.y += 1;
        let (mut x, mut height) = (0, 0);
        let mut placed = Vec::with_capacity(panels.len());
        for mut panel in panels {
            let size = |panel: &Value, key| panel["gridPos"][key].as_u64().unwrap_or(8);
            let (w, h) = (size(&panel, "w"), size(&panel, "h"));
            if x + w > COLUMNS {
                (self.y, x, height) = (self.y + height, 0, 0);
            }
            panel["gridPos"] = json!({"w": w, "h": h, "x": x, "y": self.y});
            panel["id"] = json!(self.next_id());
            for target in items(&mut panel["targets"]) {
                names.fill(&mut target["expr"]);
            }
            (x, height) = (x + w, height.max(h));
            placed.push(panel);
        }
        self.y += height;
        let (inside, beside) = if is_collapsed {
            (placed, Vec::new())
        } else {
            (Vec::new(), placed)
        };
        self.panels.push(json!({
            "type": "row", "title": title, "id": row, "collapsed": is_collapsed, "panels": inside,
            "gridPos": {"w": COLUMNS, "h": 1, "x": 0, "y": top},
        }));
        self.panels.extend(beside);
        if is_collapsed {
            self.y = top + 1;
        }
    }

    fn next_id(&mut self) -> u64 {
        self.id += 1;
        self.id
    }
}

/// A shipped dashboard.
#[allow(clippy::expect_used, reason = "a constant of the build")]
fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("the shipped dashboards are JSON, as a test knows")
}

/// The panels of a dashboard without its rows.
fn panels(dashboard: &Value) -> Vec<Value> {
    let all = dashboard["panels"].as_array().into_iter().flatten();
    all.filter(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

/// The panels of a dashboard's first row.
fn first_row(dashboard: &Value) -> Vec<Value> {
    let all = dashboard["panels"].as_array().into_iter().flatten();
    let rest = all.skip_while(|panel| panel["title"] != FIRST_ROW).skip(1);
    rest.take_while(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

fn titles(panels: &[Value]) -> Vec<Value> {
    panels.iter().map(|panel| panel["title"].clone()).collect()
}

fn items(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// A regular expression in a text of PromQL that takes exactly these names. Of what a name may hold, only the dot means
/// something there.
fn any_of<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    let names = names.into_iter();
    let escaped: Vec<String> = names
        .map(|name| name.as_str().replace('.', "\\\\."))
        .collect();
    escaped.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(routes: &str) -> Value {
        let text = format!(
            "listeners: [{{name: public, address: 127.0.0.1:0}}]\nroutes: [{routes}]\n\
             upstreams: [{{name: web.v2, endpoints: [{{address: 127.0.0.1:1}}]}}]\n"
        );
        let plan = crate::config::parse(&text, "f").expect("a plan").plan;
        read(&dashboard(&plan))
    }

    fn row<'a>(dashboard: &'a Value, title: &str) -> Vec<&'a str> {
        let rows = dashboard["panels"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["title"] == title);
        let panels = row.expect(title)["panels"].as_array().expect("a list");
        panels
            .iter()
            .filter_map(|panel| panel["title"].as_str())
            .collect()
    }

    #[test]
    fn a_route_has_the_panels_of_what_it_has() {
        let dashboard = made(
            "{name: bare, upstream: web.v2, match: {path: {prefix: /bare}}}, \
             {name: rich, upstream: web.v2, match: {path: {prefix: /rich}}, retry: {attempts: 2}, concurrency: 5, slo: {availability: 99%}}",
        );
        let (bare, rich) = (row(&dashboard, "Route bare"), row(&dashboard, "Route rich"));
        for (title, _) in NEEDS {
            assert!(!bare.contains(&title) && rich.contains(&title), "{title}");
        }
        assert!(!bare.contains(&"Objectives") && rich.contains(&"Objectives"));
        assert!(bare.contains(&"Latency") && !row(&dashboard, "Upstream web.v2").is_empty());
        let text = dashboard.to_string();
        for variable in ["$route", "$upstream", "$listener"] {
            assert!(
                !text.contains(&format!("\\\"{variable}")),
                "{variable} is left"
            );
        }
        assert!(
            text.contains(r#"route=~\"rich\""#) && text.contains(r#"upstream=~\"web\\\\.v2\""#)
        );
        let mut ids: Vec<u64> = Vec::new();
        for panel in dashboard["panels"].as_array().expect("a list") {
            let inside = panel["panels"].as_array().into_iter().flatten();
            ids.extend(
                std::iter::once(panel)
                    .chain(inside)
                    .filter_map(|it| it["id"].as_u64()),
            );
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "each has an id of its own");
    }

    #[test]
    fn without_objectives_there_is_no_row_of_them() {
        let dashboard = made("{name: bare, upstream: web.v2, match: {path: {prefix: /}}}");
        let rows = dashboard["panels"].as_array().expect("a list");
        assert!(rows.iter().all(|row| row["title"] != "Error budgets"));
    }
}
