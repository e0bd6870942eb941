using Fleet.Client.Runs;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Tests.Runs;

[Trait("tier", "fast")]
public sealed class SharedRunTests
{
    [Fact]
    public void A_plan_is_the_same_at_the_other_generator()
    {
        var options = new RunOptions
        {
            Devices = 40,
            Duration = TimeSpan.FromSeconds(7),
            RatePerSecond = 12.5,
            Seed = 99,
            Overrides = [ScenarioOverride.Parse("load.clients=12")],
            Silos = 2,
            Generators = 3,
        };

        var plan = SharedRun.FromJson(SharedRun.ToJson(new("smoke", options)));

        Assert.Equal("smoke", plan.Scenario);
        Assert.Equal(options.Overrides, plan.Options.Overrides);
        Assert.Equal(options, plan.Options with { Overrides = options.Overrides });
    }

    [Theory]
    [InlineData("--generators 3", "--generators needs silos that the generators can reach; accepted: ")]
    [InlineData("--join some", "--join needs the store that the run's silos share; accepted: ")]
    public async Task A_share_of_a_run_in_one_process_is_refused(string line, string sentence)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();

        var exit = await Client.Commands.FleetCommand.InvokeAsync(
            ["run", .. line.Split(' ')], new Client.Commands.Terminal(output, error, isInteractive: false));

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Contains(sentence, error.ToString(), StringComparison.Ordinal);
    }
}
