using System.Text.Json;
using System.Text.RegularExpressions;

namespace Fleet.Deploy.Tests;

/// <summary>What the dashboards ask for.</summary>
internal sealed class Dashboard(string path)
{
    private readonly JsonDocument _json = JsonDocument.Parse(File.ReadAllText(path));

    public static IEnumerable<Dashboard> All() =>
        Directory.EnumerateFiles(Checkout.In("deploy", "grafana", "dashboards"))
            .Order(StringComparer.Ordinal).Select(file => new Dashboard(file));

    public string Uid => _json.RootElement.GetProperty("uid").GetString()!;

    public IEnumerable<JsonElement> Panels => _json.RootElement.GetProperty("panels").EnumerateArray();

    /// <summary>Every query of PostgreSQL, with where it stands; annotations and variables too.</summary>
    public IEnumerable<(string Where, string Sql)> Queries() =>
    [
        .. from panel in Panels
           from target in panel.GetProperty("targets").EnumerateArray()
           where target.TryGetProperty("rawSql", out _)
           select (panel.GetProperty("title").GetString()!, target.GetProperty("rawSql").GetString()!),
        .. _json.RootElement.GetProperty("annotations").GetProperty("list").EnumerateArray().Select(
            one => ("annotations", one.GetProperty("target").GetProperty("rawSql").GetString()!)),
        .. _json.RootElement.GetProperty("templating").GetProperty("list").EnumerateArray().Select(
            one => ("variables", one.GetProperty("query").GetString()!)),
    ];

    public IEnumerable<string> Expressions() =>
        from panel in Panels
        from target in panel.GetProperty("targets").EnumerateArray()
        where target.TryGetProperty("expr", out _)
        select target.GetProperty("expr").GetString();

    public IEnumerable<string> DataSources() => Everything(_json.RootElement)
        .Where(element => element.ValueKind is JsonValueKind.Object && element.TryGetProperty("uid", out _)
            && element.TryGetProperty("type", out _))
        .Select(element => element.GetProperty("uid").GetString()!).Distinct();

    private static IEnumerable<JsonElement> Everything(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => [element, .. element.EnumerateObject().SelectMany(one => Everything(one.Value))],
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Everything),
        _ => [],
    };
}

/// <summary>Names of metrics in expressions of Prometheus.</summary>
internal static partial class Prometheus
{
    public static IEnumerable<string> MetricsOf(string expression) =>
        Metric().Matches(expression).Select(match => Histogram().Replace(match.Value, "")).Distinct();

    /// <summary>As the collector shows a name: with _ for what Prometheus does not take.</summary>
    public static string NameOf(string instrument) => Other().Replace(instrument, "_");

    [GeneratedRegex(@"\b(fleet|orleans|dotnet)_[a-z0-9_]+")]
    private static partial Regex Metric();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex Histogram();

    [GeneratedRegex("[^a-zA-Z0-9_]")]
    private static partial Regex Other();
}

/// <summary>The dashboards and alarms themselves; their queries and metrics are tried against a real run.</summary>
[Trait("tier", "fast")]
public sealed class DashboardTests
{
    private static readonly Node Alerts = Node.Read(Checkout.In("deploy", "prometheus", "alerts.yaml"))[0];

    [Fact]
    public void Panels_have_numbers_of_their_own_and_do_not_overlap()
    {
        foreach (var dashboard in Dashboard.All())
        {
            var ids = dashboard.Panels.Select(panel => panel.GetProperty("id").GetInt32()).ToList();
            Assert.Equal(ids.Count, ids.Distinct().Count());
            var cells = from panel in dashboard.Panels
                        let at = panel.GetProperty("gridPos")
                        from x in Enumerable.Range(at.GetProperty("x").GetInt32(), at.GetProperty("w").GetInt32())
                        from y in Enumerable.Range(at.GetProperty("y").GetInt32(), at.GetProperty("h").GetInt32())
                        select (x, y);
            Assert.Equal(cells.Count(), cells.Distinct().Count());
            Assert.True(cells.Max(cell => cell.x) < 24);
        }
    }

    [Fact]
    public void Data_sources_are_those_that_are_provisioned()
    {
        var provisioned = Node.Read(Checkout.In("deploy", "grafana", "datasources.yaml"))[0]["datasources"].Items
            .Select(source => source["uid"].Text);
        Assert.Equal(
            Dashboard.All().SelectMany(dashboard => dashboard.DataSources()).Distinct().Order(), provisioned.Order());
    }

    [Fact]
    public void Results_are_read_through_the_views_and_the_list_of_runs() => Assert.Empty(
        from dashboard in Dashboard.All()
        from query in dashboard.Queries()
        from Match table in Regex.Matches(query.Sql, @"\bfleet\.(\w+)(?!\w*\s*=)")
        let name = table.Groups[1].Value
        where name != "runs" && !name.StartsWith("v_", StringComparison.Ordinal)
        select $"{query.Where}: {name}");

    [Fact]
    public void Every_alarm_has_a_summary_and_a_paragraph_in_the_operators_guide()
    {
        var guide = Checkout.Text("docs", "operations.md");
        var rules = Alerts["groups"].Items.SelectMany(group => group["rules"].Items).ToList();
        Assert.NotEmpty(rules);
        Assert.All(rules, rule =>
        {
            Assert.NotEqual("", rule["annotations", "summary"].Text);
            Assert.Contains(rule["labels", "severity"].Text, new[] { "page", "warn" });
            Assert.Contains($"`{rule["alert"].Text}`", guide, StringComparison.Ordinal);
            Assert.NotEmpty(Prometheus.MetricsOf(rule["expr"].Text));
        });
    }

    [ValidatorFact("promtool")]
    public async Task Promtool_takes_the_alarms() => (await Tool.RunAsync(
        "promtool", ["check", "rules", Checkout.In("deploy", "prometheus", "alerts.yaml")])).MustBeFine();

    [Fact]
    public void The_collector_has_every_part_that_its_pipelines_name()
    {
        var collector = Node.Read(Checkout.In("deploy", "otel", "collector.yaml"))[0];
        foreach (var pipeline in collector["service", "pipelines"].Entries.Values)
        {
            foreach (var kind in new[] { "receivers", "processors", "exporters" })
            {
                Assert.Empty(pipeline[kind].Items.Select(item => item.Text).Except(collector[kind].Entries.Keys));
            }
        }

        var scraped = Node.Read(Checkout.In("deploy", "prometheus", "prometheus.yaml"))[0]["scrape_configs"].Items[0]
            ["static_configs"].Items[0]["targets"].Items[0].Text;
        Assert.EndsWith(
            scraped.Split(':')[1], collector["exporters", "prometheus", "endpoint"].Text, StringComparison.Ordinal);
        Assert.Equal("false", collector["exporters", "prometheus", "add_metric_suffixes"].Text);
    }

    // The expressions of dashboards and alarms; ProcessTests compares them with what a silo sends.
    internal static IReadOnlyList<string> Metrics() =>
    [
        .. Dashboard.All().SelectMany(dashboard => dashboard.Expressions())
            .Concat(Alerts["groups"].Items.SelectMany(group => group["rules"].Items).Select(rule => rule["expr"].Text))
            .SelectMany(Prometheus.MetricsOf).Distinct().Order(StringComparer.Ordinal),
    ];
}
