using System.Diagnostics;
using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Commands;

[Trait("tier", "sim")]
public sealed class ExploreCommandTests
{
    [Theory]
    [InlineData("explore S2 --profile ALL", ExitCode.Valid, "clean: no rule broken")]
    [InlineData("explore S8 --profile CLEAN", ExitCode.Valid, "exhausted: ")]
    [InlineData("explore S8 --profile ALL", ExitCode.Invalid, "OBJ-LIVE;OWNER-ALIVE")]
    [InlineData("explore S8 --profile CLEAN --schedules 5", ExitCode.Unknown, "bounded: 5 schedules")]
    [InlineData("matrix --scenario S1 --profile ALL", ExitCode.Valid, "1 cells: 1 agree")]
    [InlineData(
        "replay x1:S8:ALL:a3d1a6c8:0c679207", ExitCode.Invalid, "18 steps, 3 context switches; broken: OWNER-ALIVE")]
    public async Task A_small_world_gives_its_verdict_and_exit_code(string line, int exit, string part)
    {
        var (got, output, error) = await RunAsync(line);

        Assert.Equal(exit, got);
        Assert.Contains(part, output, StringComparison.Ordinal);
        Assert.Empty(error);
    }

    [Theory]
    [InlineData("explore S99", "fleet: There is no small world 'S99'; accepted: S1, ")]
    [InlineData("explore S1 --profile nope", "fleet: There is no profile 'nope'; accepted: P0, ")]
    [InlineData("replay junk", "fleet: The token cannot be read; accepted: ")]
    [InlineData("matrix --table /nowhere", "fleet: The table '/nowhere' cannot be used: ")]
    public async Task A_world_that_is_not_there_is_one_sentence(string line, string sentence)
    {
        var (exit, output, error) = await RunAsync(line);

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Empty(output);
        Assert.StartsWith(sentence, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(character => character == '\n'));
    }

    // Goal: whoever attaches a debugger finds the process before the step that breaks the rule, and not after it.
    // Method: a process of its own; nobody attaches, so it must be alive and silent once it has said what it waits for.
    [Fact]
    public async Task Break_waits_before_the_violating_step()
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet")
        {
            ArgumentList =
            {
                typeof(FleetCommand).Assembly.Location, "replay", "x1:S2:P0:a4b1:d2a50bef", "--break",
            },
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        var shown = process.StandardOutput.ReadToEndAsync();
        try
        {
            Assert.Equal(
                $"Process {process.Id} waits for a debugger before step 4 (A: MemoryRemove).",
                await process.StandardError.ReadLineAsync());
            Assert.False(process.HasExited);
            Assert.False(shown.IsCompleted);
        }
        finally
        {
            process.Kill();
        }

        Assert.Empty(await shown);
    }

    [Fact]
    public async Task Json_of_an_exploration_names_a_token_for_each_rule()
    {
        var (_, output, _) = await RunAsync("explore S9 --profile ALL --json");
        var finding = Assert.Single(JsonDocument.Parse(output).RootElement.GetProperty("findings").EnumerateArray());

        Assert.Equal("NO-NULL-DEREF", finding.GetProperty("rule").GetString());
        var (exit, replayed, _) = await RunAsync($"replay {finding.GetProperty("token").GetString()} --json");
        Assert.Equal(ExitCode.Invalid, exit);
        Assert.True(JsonDocument.Parse(replayed).RootElement.GetProperty("steps").GetArrayLength() > 0);
    }

    private static async Task<(int Exit, string Output, string Error)> RunAsync(string line)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(line.Split(' '), new Terminal(output, error, isInteractive: false));
        return (exit, output.ToString(), error.ToString());
    }
}
