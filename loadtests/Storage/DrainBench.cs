using System.Globalization;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Storage;

/// <summary>What it costs to carry operations from a full spool into the embedded store.</summary>
internal static class DrainBench
{
    public const string Name = "drain";

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        using var spooled = new SpooledHistory();
        var (read, stored) = (new List<Round>(), new List<Round>());
        var warm = isQuick ? 1 : 3;
        for (var i = 0; i < warm + (isQuick ? 3 : 7); i++)
        {
            ct.ThrowIfCancellationRequested();
            read.Add(await spooled.ReadAsync());
            stored.Add(await spooled.StoreAsync(ct));
        }

        var compared = new Comparison(
            Name, "a full spool stored in DuckDB", "reading the spool", [.. stored.Skip(warm)], [.. read.Skip(warm)]);
        var cost = compared.Rounds.Select(round => 1e9 * round.CpuSeconds / round.Operations).Order().ToArray();
        return
        [
            Line.Of(compared, "", string.Create(
                CultureInfo.InvariantCulture,
                $"{Comparison.Median(cost):N0} ns of CPU an operation ({cost[0]:N0}-{cost[^1]:N0})")),
        ];
    }
}
