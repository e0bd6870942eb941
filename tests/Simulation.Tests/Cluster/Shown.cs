using Fleet.Checking.History;
using Fleet.Simulation.Cluster;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Cluster;

/// <summary>What a run came to, for whoever reads a failed test.</summary>
internal static class Shown
{
    /// <summary>Where somebody looks at it: <c>fleet check --history</c>.</summary>
    public static void Keep(SimulationResult result)
    {
        using var file = File.Create(Path.Combine(AppContext.BaseDirectory, $"seed-{result.Plan.Run.Seed}.jsonl"));
        using var writer = new HistoryWriter(file, result.History.Header, result.History.Objects);
        result.History.Write(writer);
    }

    public static void Show(ITestOutputHelper output, SimulationResult result)
    {
        output.WriteLine($"{result.Verdict} exit {result.ExitCode} seed {result.Plan.Run.Seed} "
            + $"digest {result.Digest:x16} simulated {result.Simulated}, {result.Occurrences} occurrences, "
            + $"{result.History.Events} events");
        output.WriteLine(string.Join(", ", result.Operations));
        output.WriteLine(string.Join(", ", result.Faults));
        foreach (var reason in result.Reasons)
        {
            output.WriteLine(reason);
        }

        foreach (var finding in result.Report!.Findings.Take(5))
        {
            output.WriteLine($"{finding.Rule} {finding.Object} x{finding.Count}: {finding.Text}");
            output.WriteLine(string.Join("\n", finding.Evidence));
        }

        foreach (var stuck in result.Stuck.Take(5))
        {
            output.WriteLine(stuck.ToString());
        }

        output.WriteLine(string.Join(", ", result.Report.Probes.Where(probe => probe.Value > 0)));
    }
}
