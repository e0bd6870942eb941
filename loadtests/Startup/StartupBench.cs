using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Startup;

/// <summary>From nothing to <c>fleet --help</c> and to an embedded silo that serves, in turns with a program that does
/// nothing.</summary>
/// <remarks>
/// As built, and as published with ReadyToRun where that was prepared: publishing takes minutes, so a quick one does
/// without, and a folder that was published of the same commit is used again. Processor time of a start is what a busy
/// machine leaves comparable.
/// </remarks>
internal static class StartupBench
{
    public const string Name = "startup";

    private static readonly Dictionary<string, string> NoSettings = [];

    /// <summary>Where this commit is published to; changes that are not committed are published anew each
    /// time.</summary>
    private static string Published => Path.Combine(
        "BenchmarkDotNet.Artifacts", "published",
        (BenchFile.Commit.Length > 0 ? BenchFile.Commit : "unknown") + (BenchFile.IsCheckoutDirty ? "-changed" : ""));

    /// <summary>Publishes this program and the client beside it, unless they are.</summary>
    public static async Task PrepareAsync(CancellationToken ct)
    {
        if (Directory.Exists(Published) && !BenchFile.IsCheckoutDirty)
        {
            return;
        }

        // Others' are of other commits, and of no use any more.
        if (Directory.Exists(Path.GetDirectoryName(Published)))
        {
            Directory.Delete(Path.GetDirectoryName(Published)!, recursive: true);
        }

        var folder = Directory.CreateTempSubdirectory("fleet-bench-publish-");
        try
        {
            var output = Path.GetFullPath(Published + ".new");
            await PublishAsync(folder.FullName, output, ct);
            Directory.Move(output, Published);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var rounds = isQuick ? 1 : 7;
        foreach (var line in await MeasureAsync("as built", AppContext.BaseDirectory, rounds, ct))
        {
            yield return line;
        }

        if (isQuick)
        {
            yield break;
        }

        foreach (var line in await MeasureAsync("published, ReadyToRun", Published, rounds, ct))
        {
            yield return line;
        }
    }

    private static async Task<Line[]> MeasureAsync(
        string how, string directory, int rounds, CancellationToken ct)
    {
        List<double> floors = [], helps = [], floorCpus = [], helpCpus = [], silos = [], siloCpus = [];
        for (var round = -1; round < rounds; round++)
        {
            var floor = await Child.StartAsync(
                directory, "loadtests.dll", [Child.Verb, Child.Nothing], NoSettings, ct);
            var help = await Child.StartAsync(directory, "fleet.dll", ["--help"], NoSettings, ct);
            var silo = await Child.StartAsync(directory, "loadtests.dll", [Child.Verb, Child.Silo], NoSettings, ct);
            if (round < 0)
            {
                continue; // Files come into the page cache.
            }

            floors.Add(floor.WallSeconds);
            floorCpus.Add(floor.CpuSeconds);
            helps.Add(help.WallSeconds);
            helpCpus.Add(help.CpuSeconds);
            silos.Add(silo.Result!.ReadySeconds);
            siloCpus.Add(silo.Result.ReadyCpuSeconds);
        }

        return
        [
            LineOf($"fleet --help, {how}", helps, floors, helpCpus, floorCpus, "under 150 ms, published"),
            LineOf($"embedded silo serves, {how}", silos, floors, siloCpus, floorCpus, "under 1,500 ms"),
        ];
    }

    private static Line LineOf(
        string what, List<double> walls, List<double> floors, List<double> cpus, List<double> floorCpus, string aim)
    {
        var ratios = walls.Zip(floors, (own, floor) => own / floor).Order().ToArray();
        return new(
            Name, what, Comparison.Median(walls) * 1e3, "ms", "a program that does nothing",
            Comparison.Median(floors) * 1e3, Comparison.Median(ratios), ratios[0], ratios[^1], aim,
            string.Create(
                CultureInfo.InvariantCulture,
                $"processor time {cpus.Average() * 1e3:N0} ms against {floorCpus.Average() * 1e3:N0}; fastest "
                + $"{walls.Min() * 1e3:N0} ms"));
    }

    /// <summary>Publishes this program, and with it the client, as deployments do.</summary>
    /// <exception cref="InvalidOperationException">It cannot be published: no sources, or no compiler for
    /// ReadyToRun in the feed; the message has the last words.</exception>
    private static async Task PublishAsync(string folder, string output, CancellationToken ct)
    {
        var start = new ProcessStartInfo(
            "dotnet",
            [
                "publish", Path.Combine(SourcesAbove(AppContext.BaseDirectory), "loadtests"), "--configuration",
                "Release", "--runtime", RuntimeInformation.RuntimeIdentifier, "--self-contained", "false",
                "-p:PublishReadyToRun=true", "-p:RunAnalyzers=false", "-maxcpucount:1", "--artifacts-path",
                Path.Combine(folder, "artifacts"), "--output", output,
            ])
        { RedirectStandardOutput = true };
        using var publish = Process.Start(start)!;
        await using var end = ct.Register(() => publish.Kill(entireProcessTree: true));
        var said = await publish.StandardOutput.ReadToEndAsync(ct);
        await publish.WaitForExitAsync(ct);
        if (publish.ExitCode != 0)
        {
            throw new InvalidOperationException($"dotnet publish ended with {publish.ExitCode}: {said}");
        }
    }

    private static string SourcesAbove(string directory)
    {
        for (var at = new DirectoryInfo(directory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Fleet.sln")))
            {
                return at.FullName;
            }
        }

        throw new InvalidOperationException($"There is no Fleet.sln above {directory}: nothing can be published.");
    }
}
