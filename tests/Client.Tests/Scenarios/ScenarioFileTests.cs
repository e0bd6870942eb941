using CsCheck;
using Fleet.Client.Scenarios;
using Fleet.Kernel;
using Fleet.Kernel.Host;

namespace Fleet.Client.Tests.Scenarios;

[Trait("tier", "fast")]
public sealed class ScenarioFileTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("fleet-scenario-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void What_is_shipped_can_be_read_and_run()
    {
        string[] some =
        [
            "alloc-fail", "db-kill", "fleet-100k", "fragment", "hot-device", "mixed-drivers", "pair", "race", "sgl",
            "smoke", "soak-24h", "soak-std", "storm",
        ];
        Assert.Empty(some.Except(ScenarioFile.Shipped));
        foreach (var name in ScenarioFile.Shipped.Where(name => !ScenarioFile.IsFaultPlan(name)))
            RunSupport.Demand(ScenarioFile.ReadScenario(name, []), new(Silos: 3, HasPrivateServer: true));
        var fault = Assert.Single(ScenarioFile.ReadFaultPlan("alloc-fail").Faults);
        Assert.Equal(
            (FailPoint.AddResourcePoolAdd, Errno.ENOMEM, new FaultSchedule.Probability(0.05)),
            (fault.Point, fault.Errno, fault.When));
    }

    [Fact]
    public void The_default_is_as_large_as_it_promises()
    {
        var smoke = ScenarioFile.ReadScenario(ScenarioFile.Default, []);

        Assert.True(smoke.Fleet.Hosts * smoke.Fleet.DevicesPerHost >= 1000);
        Assert.Equal(64, smoke.Load.Clients);
        Assert.Equal(TimeSpan.FromSeconds(20), smoke.Phases.Single(phase => phase.Name == "steady").For);
        Assert.Equal(5, smoke.RequiredProbes.Length);
    }

    [Fact]
    public void An_option_overrides_one_value()
    {
        var overrides =
            new[] { "load.clients=128", "phases.1.for=5s",
                "load.arrival={ kind: open, rate: { kind: constant, perSecond: 20000 } }", "unbind.patience=1s" };

        var scenario = ScenarioFile.ReadScenario("smoke", [.. overrides.Select(ScenarioOverride.Parse)]);

        Assert.Equal(128, scenario.Load.Clients);
        Assert.Equal(TimeSpan.FromSeconds(5), scenario.Phases[1].For);
        Assert.Equal(new Arrival.Open(new Rate.Constant(20000)), scenario.Load.Arrival);
        Assert.Equal(TimeSpan.FromSeconds(1), scenario.Unbind.Patience);
    }

    [Fact]
    public void An_included_file_lies_underneath()
    {
        var under = Write(
            "under.yaml",
                "name: under\nload: { clients: 3, deadline: 1s, hold: { kind: uniform, min: 1ms, max: 2ms } }\n");
        var file = Write(
            "top.yaml",
                $"include: {Path.GetFileName(under)}\nname: top\nload: {{ clients: 4, hold: {{ kind: "
                + "constant, value: 7ms } }\n");

        var scenario = ScenarioFile.ReadScenario(file, []);

        Assert.Equal(("top", 4, TimeSpan.FromSeconds(1)), (
            scenario.Name, scenario.Load.Clients, scenario.Load.Deadline));
        Assert.Equal(new HoldTime.Constant(TimeSpan.FromMilliseconds(7)), scenario.Load.Hold);
    }

    [Fact]
    public void A_file_that_includes_itself_is_refused()
    {
        var file = Write("loop.yaml", "include: loop.yaml\nname: loop\n");

        Assert.Contains("includes itself", Refusal(file), StringComparison.Ordinal);
    }

    [Fact]
    public void A_seed_of_zero_is_drawn() =>
        Assert.NotEqual(0ul, ScenarioFile.ReadScenario("smoke", [ScenarioOverride.Parse("seed=0")]).Seed);

    [Theory]
    [InlineData("name: x\nload:\n  clientz: 3\n", ":3:3: unknown key 'load.clientz'; accepted: arrival, clients,")]
    [InlineData(
        "name: x\nload: { clients: many }\n", ":2:18: load.clients is 'many'; accepted: a whole number from 1 to")]
    [InlineData("name: x\nload: { clients: 0 }\n", "load.clients is '0'; accepted: a whole number from 1 to")]
    [InlineData("name: x\nload: { deadline: 3 }\n", "load.deadline is '3'; accepted: a duration such as 250ms")]
    [InlineData("name: x\nload: { deadline: 0s }\n", "load.deadline is zero; accepted: ")]
    [InlineData("name: x\nfleet: { resourceSize: 3MiB }\n", "fleet.resourceSize is no power of two; accepted: ")]
    [InlineData("name: x\nfleet: { sections: mine }\n", "fleet.sections is 'mine'; accepted: own, shared.")]
    [InlineData("name: x\nload: { arrival: { kind: open } }\n", "an open arrival has no rate; accepted: ")]
    [InlineData(
        "name: x\nload: { arrival: { kind: open, rate: { kind: sine, perSecond: 1, amplitude: 2, period: 1s } } }\n",
        "load.arrival.rate.amplitude is larger than perSecond; accepted: 0 up to perSecond")]
    [InlineData(
        "name: x\nphases: [ { name: drain, for: 1s }, { name: a, for: 1s } ]\n",
        "a phase follows drain; accepted: drain as the last phase")]
    [InlineData(
        "name: x\nphases: [ { name: a, for: 1s, rate: { kind: constant, perSecond: 5 } } ]\n",
        "phases.0.rate is a rate of its own; accepted: ")]
    [InlineData("name: x\nexpect: { ALL: green }\n", "expect.ALL is 'green'; accepted: valid, invalid.")]
    [InlineData(
        "name: x\nphases: [ { name: a, for: 1s }, { name: a, for: 1s } ]\n", "two phases have one name; accepted: ")]
    [InlineData("name: x\nthresholds: [ { metric: response.p99, below: 5 } ]\n",
        "thresholds.0.below is '5'; accepted: a duration")]
    [InlineData(
        "name: x\nfaults: [ { kind: inject, every: { kind: nth, n: 1 } } ]\n", "faults.0.point is missing; accepted: ")]
    [InlineData("name: x\nprofile: P9\n", ":2:10: profile is 'P9'; accepted: P0, P1, ")]
    [InlineData(
        "name: x\nexpect: { ALL: valid, v5.2: invalid }\n", "expect names ALL twice, the second time as v5.2; ")]
    [InlineData(
        "name: x\nfaults: [ { kind: inject, point: nowhere } ]\n", "faults.0.point is 'nowhere'; accepted: setup.")]
    [InlineData("name: x\nname: y\n", ":2:1: 'name' is given twice; accepted: ")]
    [InlineData("name: &a x\nclaim: *a\n", "anchors and aliases are not read; accepted: ")]
    [InlineData("name: !!str x\n", "tags are not read; accepted: ")]
    [InlineData("name: x\n---\nname: y\n", "a second document begins; accepted: ")]
    [InlineData("name: [\n", "not YAML (")]
    [InlineData("- 1\n", "the file is not a map; accepted: ")]
    [InlineData("", "is empty; accepted: ")]
    [InlineData("load: { clients: 1 }\n", "name is missing; accepted: ")]
    public void What_is_wrong_is_named_with_its_place(string text, string sentence)
    {
        var refusal = Refusal(Write("bad.yaml", text));

        Assert.Contains(sentence, refusal, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refusal);
    }

    [Theory]
    [InlineData("faults=[ { kind: silo-kill, at: { kind: interval, mean: 20s } } ]", "silo-kill")]
    [InlineData("faults=[ { kind: partition, at: { kind: interval, mean: 20s } } ]", "partition")]
    [InlineData("faults=[ { kind: db-cut, at: { kind: interval, mean: 20s } } ]", "db-cut")]
    [InlineData("faults=[ { kind: message, every: { kind: probability, p: 0.1 } } ]", "message")]
    public void What_is_described_but_not_run_yet_is_read_and_then_refused(string change, string word)
    {
        var scenario = ScenarioFile.ReadScenario("smoke", [ScenarioOverride.Parse(change)]);

        var refusal = Assert.Throws<UsageException>(() => RunSupport.Demand(scenario)).Message;

        Assert.Contains(word, refusal, StringComparison.Ordinal);
        Assert.Contains("which this build does not run; accepted: ", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Deep_nesting_does_not_exhaust_the_stack() =>
        Assert.Contains(
            "nested too deeply", Refusal(
                Write("deep.yaml", "name: " + new string('[', 200_000))), StringComparison.Ordinal);

    // Goal: no text, however damaged, does anything but be read or be refused.
    [Fact]
    public void Damaged_text_is_read_or_refused()
    {
        var source = ScenarioFile.ReadText("smoke");
        var edit = Gen.Select(
            Gen.Int[0, source.Length], Gen.Int[0, 30], Gen.String[Gen.Char["\n :-{}[],'\"#&*!|>%@`09azKiBms"], 0, 6]);
        edit.Array[1, 6].Sample(
            edits =>
            {
                var text = edits.Aggregate(source, (current, change) =>
                {
                    var at = Math.Min(change.Item1, current.Length);
                    return current[..at] + change.Item3 + current[Math.Min(at + change.Item2, current.Length)..];
                });
                try
                {
                    _ = ScenarioReader.ReadScenario(ScenarioNode.Parse(text, "damaged"));
                }
                catch (UsageException e)
                {
                    Assert.DoesNotContain('\n', e.Message);
                }
            },
            iter: 3_000);
    }

    private static string Refusal(string file) =>
        Assert.Throws<UsageException>(() => ScenarioFile.ReadScenario(file, [])).Message;

    private string Write(string name, string text)
    {
        var path = Path.Combine(_folder.FullName, name);
        File.WriteAllText(path, text);
        return path;
    }
}
