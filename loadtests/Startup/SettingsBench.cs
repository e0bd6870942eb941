using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Startup;

/// <summary>What settings of the runtime are worth: each in processes of its own, in turns with the defaults.</summary>
/// <remarks>docs/settings.md says which were chosen.</remarks>
internal static class SettingsBench
{
    public const string Name = "settings";

    /// <summary>So many are compared with one run of the defaults.</summary>
    private const int SettingsOfFloor = 3;

    private static readonly (string Name, Dictionary<string, string> Environment)[] Settings =
    [
        ("server GC", new() { ["DOTNET_gcServer"] = "1" }),
        ("server GC, heaps not adapted", new()
        {
            ["DOTNET_gcServer"] = "1",
            ["DOTNET_GCDynamicAdaptationMode"] = "0",
        }),
        ("no concurrent GC", new() { ["DOTNET_gcConcurrent"] = "0" }),
        ("generation 0 of 64 MiB", new() { ["DOTNET_GCgen0size"] = "4000000" }),
        ("generation 0 of 128 MiB", new() { ["DOTNET_GCgen0size"] = "8000000" }),
        ("no tiered PGO", new() { ["DOTNET_TieredPGO"] = "0" }),
        ("threads of the pool spin before they sleep, as the runtime's default is", new()
        {
            ["DOTNET_ThreadPool_UnfairSemaphoreSpinLimit"] = "46",
        }),
    ];

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var (rounds, seconds) = isQuick ? (1, "2") : (3, "4");
        var measured = Settings.Select(_ => new List<(ChildResult Own, ChildResult Floor)>()).ToArray();
        for (var round = 0; round < rounds && await RoundAsync(measured, seconds, ct); round++)
        {
        }

        for (var i = 0; i < Settings.Length; i++)
        {
            if (measured[i].Count > 0)
            {
                yield return LineOf(Settings[i].Name, measured[i]);
                yield return MemoryOf(Settings[i].Name, measured[i]);
            }
        }
    }

    /// <summary>Each setting once, beside defaults that ran a little before.</summary>
    /// <returns>False when the time was over: what came before counts.</returns>
    private static async Task<bool> RoundAsync(
        List<(ChildResult Own, ChildResult Floor)>[] measured, string seconds, CancellationToken ct)
    {
        try
        {
            var floor = await HotPathAsync([], seconds, ct);
            for (var i = 0; i < Settings.Length; i++)
            {
                var own = await HotPathAsync(Settings[i].Environment, seconds, ct);
                measured[i].Add((own, floor));
                await Console.Error.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Settings[i].Name}: {Rate(own):N0} op/CPU-s, the defaults {Rate(floor):N0}"));
                if (i % SettingsOfFloor == SettingsOfFloor - 1)
                {
                    floor = await HotPathAsync([], seconds, ct);
                }
            }

            return true;
        }
        catch (OperationCanceledException) when (measured.Any(one => one.Count > 0))
        {
            return false;
        }
    }

    private static async Task<ChildResult> HotPathAsync(
        Dictionary<string, string> environment, string seconds, CancellationToken ct) =>
        (await Child.StartAsync(
            AppContext.BaseDirectory, "loadtests.dll", [Child.Verb, Child.HotPath, seconds], environment, ct)).Result
        ?? throw new InvalidOperationException("A measured process said nothing.");

    private static Line LineOf(string name, List<(ChildResult Own, ChildResult Floor)> measured)
    {
        var ratios = measured.Select(pair => Rate(pair.Own) / Rate(pair.Floor)).Order().ToArray();
        return new(
            Name, name, Median(one => one.Own, Rate), "op/CPU-s", "defaults", Median(one => one.Floor, Rate),
            Comparison.Median(ratios), ratios[0], ratios[^1], "",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{Median(one => one.Own, PerSecond):N0} op/s against {Median(one => one.Floor, PerSecond):N0}; paused "
                + $"{Median(one => one.Own, Pause):0.0} % of the time against {Median(one => one.Floor, Pause):0.0}; "
                + $"200 devices bound after {Median(one => one.Own, one => one.ReadyCpuSeconds):0.0} CPU-s against "
                + $"{Median(one => one.Floor, one => one.ReadyCpuSeconds):0.0}; resident "
                + $"{Median(one => one.Own, one => one.WorkingSet >> 20):N0} MiB against "
                + $"{Median(one => one.Floor, one => one.WorkingSet >> 20):N0}"));

        double Median(
            Func<(ChildResult Own, ChildResult Floor), ChildResult> side, Func<ChildResult, double> of) =>
            Comparison.Median(measured.Select(pair => of(side(pair))));
    }

    private static Line MemoryOf(string name, List<(ChildResult Own, ChildResult Floor)> measured)
    {
        var ratios = measured.Select(pair => (double)pair.Own.WorkingSet / pair.Floor.WorkingSet).Order().ToArray();
        return new(
            Name, $"{name}: resident memory", Comparison.Median(measured.Select(pair => Mebi(pair.Own))), "MiB",
            "defaults", Comparison.Median(measured.Select(pair => Mebi(pair.Floor))), Comparison.Median(ratios),
            ratios[0], ratios[^1], "", "");

        static double Mebi(ChildResult one) => one.WorkingSet / 1048576.0;
    }

    private static double Rate(ChildResult one) => one.Operations / one.CpuSeconds;

    private static double PerSecond(ChildResult one) => one.Operations / one.WallSeconds;

    private static double Pause(ChildResult one) => one.PauseSeconds / one.WallSeconds * 100;
}
