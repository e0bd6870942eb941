using System.Diagnostics;
using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Runs;

// Goal: what a killed process had acknowledged is stored, judged and sealed.
// Method: a process of its own is killed once its load has begun; the same command line finishes its run.
[Trait("tier", "cluster")]
public sealed class RunRecoveryTests : IDisposable
{
    private readonly DirectoryInfo _results = Directory.CreateTempSubdirectory("fleet-killed-");

    public void Dispose() => _results.Delete(recursive: true);

    [Fact]
    public async Task A_killed_run_is_finished()
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet")
        {
            ArgumentList =
            {
                typeof(FleetCommand).Assembly.Location, "run", "--devices", "20", "--duration", "120s", "--rate", "300",
                "--results", _results.FullName, "--json",
            },
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        while (await process.StandardError.ReadLineAsync() is { } line && !HasOperations(line))
        {
            // Each line is a moment of the run; the first with operations is the one that is waited for.
        }

        var run = Path.GetFileName(Directory.GetDirectories(_results.FullName).Single())[..^".spool".Length];
        var (early, refusal) = await RunAsync("resume", run);
        process.Kill();
        await process.WaitForExitAsync();
        var (exit, output) = await RunAsync("resume", run, "--json");

        Assert.Equal(ExitCode.Usage, early);
        Assert.Contains("fleet: ", refusal, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Interrupted, exit);
        var recovered = JsonDocument.Parse(output).RootElement;
        Assert.True(recovered.GetProperty("operationsFound").GetInt64() > 0);
        Assert.True(recovered.GetProperty("operationsUnknown").GetInt64() > 0);
        Assert.Equal($"{run}.duckdb", Assert.Single(_results.EnumerateFileSystemInfos()).Name);
        Assert.Equal(ExitCode.Valid, (await RunAsync("show", run)).Exit);
        Assert.Equal(ExitCode.Usage, (await RunAsync("resume", run)).Exit);
    }

    private static bool HasOperations(string line)
    {
        using var json = JsonDocument.Parse(line);
        return json.RootElement.TryGetProperty("operations", out var operations) && operations.GetInt64() > 0;
    }

    private async Task<(int Exit, string Output)> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(
            [.. args, "--results", _results.FullName], new Terminal(output, error, isInteractive: false));
        return (exit, exit == ExitCode.Usage ? error.ToString() : output.ToString());
    }
}
