using System.Diagnostics.Tracing;
using System.Globalization;
using System.Text;
using Fleet.LoadTests.Cold;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Parsers;

namespace Fleet.LoadTests.Profiling;

/// <summary>What a bound idle device keeps on the heap, by type, beside three empty grains.</summary>
/// <remarks>
/// Everything that can be reached, as the runtime tells while it collects: before, with the devices, and with as many
/// empty grains besides.
/// </remarks>
internal static class HeapProfile
{
    public const string Name = "heap";

    private const int Hosts = 100;
    private const int Shown = 70;
    private const int ShownOfFloor = 40;
    private const int BufferMegabytes = 1024;

    private readonly record struct Kept(long Objects, long Bytes);

    /// <returns>The file that was written.</returns>
    public static async Task<string> WriteAsync(string folder, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(1, ColdBench.DevicesPerHost, Recording.Spooled, ct);
        await ColdBench.ActivateAsync(fleet, "warm", 1);
        var before = await LookAsync(ct);
        for (var host = 0; host < Hosts; host++)
        {
            // One after another, so that what is read back of the spool takes no room that counts.
            await ColdBench.BuildAsync(fleet, string.Create(CultureInfo.InvariantCulture, $"b{host}"), 1);
            fleet.Empty();
        }

        var bound = await LookAsync(ct);
        await ColdBench.ActivateAsync(fleet, "e", Hosts);
        var empty = await LookAsync(ct);
        Directory.CreateDirectory(folder);
        var file = Path.Combine(folder, "heap-idle-device.txt");
        await File.WriteAllTextAsync(
            file, Text(Hosts * ColdBench.DevicesPerHost, Less(bound, before), Less(empty, bound)), ct);
        return file;
    }

    private static string Text(int devices, Dictionary<string, Kept> bound, Dictionary<string, Kept> empty)
    {
        var text = new StringBuilder();
        text.AppendLine(string.Create(
            CultureInfo.InvariantCulture,
            $"heap: what {devices:N0} bound idle devices keep, and three empty grains for each; "
            + $"{BenchFile.Stamp}"));
        text.AppendLine(string.Create(
            CultureInfo.InvariantCulture,
            $"Of one device: {Sum(bound):N0} bytes; of three empty grains: {Sum(empty):N0}."));
        text.AppendLine().AppendLine("bytes, objects of a device; bytes, objects of three empty grains; type");
        var all = bound.Keys.Union(empty.Keys)
            .Select(type => (Type: type, Own: bound.GetValueOrDefault(type), Bare: empty.GetValueOrDefault(type)))
            .OrderByDescending(one => one.Own.Bytes - one.Bare.Bytes)
            .ThenBy(one => one.Type, StringComparer.Ordinal)
            .ToList();
        Write(all.Take(Shown));
        text.AppendLine().AppendLine("What the empty grains keep themselves, the most first:");
        Write(all.OrderByDescending(one => one.Bare.Bytes).Take(ShownOfFloor));
        return text.ToString();

        void Write(IEnumerable<(string Type, Kept Own, Kept Bare)> some)
        {
            foreach (var (type, own, bare) in some)
            {
                text.AppendLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Each(own.Bytes),8:0.0} {Each(own.Objects),6:0.00}  {Each(bare.Bytes),8:0.0} "
                    + $"{Each(bare.Objects),6:0.00}  {type}"));
            }
        }

        double Each(long count) => (double)count / devices;

        double Sum(Dictionary<string, Kept> kept) => Each(kept.Values.Sum(one => one.Bytes));
    }

    private static Dictionary<string, Kept> Less(Dictionary<string, Kept> later, Dictionary<string, Kept> earlier) =>
        later.Keys.Union(earlier.Keys).ToDictionary(type => type, type =>
        {
            var (after, before) = (later.GetValueOrDefault(type), earlier.GetValueOrDefault(type));
            return new Kept(after.Objects - before.Objects, after.Bytes - before.Bytes);
        });

    /// <summary>Every object that can be reached now, by its type.</summary>
    private static async Task<Dictionary<string, Kept>> LookAsync(CancellationToken ct)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var folder = Directory.CreateTempSubdirectory("fleet-heap-");
        try
        {
            var file = Path.Combine(folder.FullName, "heap");
            var began = GC.CollectionCount(GC.MaxGeneration);
            var client = new DiagnosticsClient(Environment.ProcessId);
            using (var session = await client.StartEventPipeSessionAsync(
                [
                    new(
                        ClrTraceEventParser.ProviderName, EventLevel.Informational,
                        (long)ClrTraceEventParser.Keywords.GCHeapSnapshot),
                ],
                requestRundown: false, BufferMegabytes, ct))
            {
                await using var output = File.Create(file);
                var copied = session.EventStream.CopyToAsync(output, ct);
                while (GC.CollectionCount(GC.MaxGeneration) == began)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(100), ct);
                }

                await session.StopAsync(ct);
                await copied;
            }

            return Types(file);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static Dictionary<string, Kept> Types(string file)
    {
        var (names, kept) = (new Dictionary<ulong, string>(), new Dictionary<ulong, Kept>());
        using var source = new EventPipeEventSource(file);
        source.Clr.TypeBulkType += types =>
        {
            for (var i = 0; i < types.Count; i++)
            {
                var type = types.Values(i);
                names[type.TypeID] = type.TypeName;
            }
        };
        source.Clr.GCBulkNode += nodes =>
        {
            for (var i = 0; i < nodes.Count; i++)
            {
                var node = nodes.Values(i);
                var sum = kept.GetValueOrDefault(node.TypeID);
                kept[node.TypeID] = new(sum.Objects + 1, sum.Bytes + (long)node.Size);
            }
        };
        source.Process();
        var named = new Dictionary<string, Kept>();
        foreach (var (type, sum) in kept)
        {
            var name = names.GetValueOrDefault(type, "?");
            var known = named.GetValueOrDefault(name);
            named[name] = new(known.Objects + sum.Objects, known.Bytes + sum.Bytes);
        }

        return named;
    }
}
