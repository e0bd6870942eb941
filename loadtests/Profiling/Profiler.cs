using System.Diagnostics;
using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Etlx;
using Microsoft.Diagnostics.Tracing.EventPipe;
using Microsoft.Diagnostics.Tracing.Parsers;

namespace Fleet.LoadTests.Profiling;

/// <summary>Profiles this process by the runtime's own event pipe, first its time, then its allocations.</summary>
/// <remarks>
/// Stacks of all managed threads each millisecond, which stops them: what a method does in native code counts for
/// nobody, and neither does the collector. Allocations are taken apart, so that neither disturbs the other.
/// </remarks>
internal static class Profiler
{
    private const int BufferMegabytes = 256;

    /// <summary>Does a slice of work again and again until a time is over.</summary>
    /// <returns>What all of them did.</returns>
    public static async Task<long> RepeatAsync(Func<Task<long>> slice, TimeSpan time, CancellationToken ct)
    {
        var done = 0L;
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < time;)
        {
            ct.ThrowIfCancellationRequested();
            var more = await slice();
            done += more;
        }

        return done;
    }

    /// <param name="work">Runs while samples are taken, and once more while allocations are; says what it did.</param>
    /// <returns>The profile, and what <paramref name="work"/> did each time.</returns>
    public static async Task<(Profile Profile, long Sampled, long Allocated)> TakeAsync(
        Func<Task<long>> work, CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-profile-");
        try
        {
            var (cpu, allocations) = (Path.Combine(folder.FullName, "cpu"), Path.Combine(folder.FullName, "alloc"));
            var sampled = await TracedAsync(
                cpu, [
                    new("Microsoft-DotNETCore-SampleProfiler", EventLevel.Informational),
                    new(
                        ClrTraceEventParser.ProviderName, EventLevel.Informational,
                        (long)ClrTraceEventParser.Keywords.Default),
                ],
                work, ct);
            var allocated = await TracedAsync(
                allocations, [
                    new(
                        ClrTraceEventParser.ProviderName, EventLevel.Verbose,
                        (long)ClrTraceEventParser.Keywords.GC),
                ],
                work, ct);
            var (own, within, native) = Samples(cpu);
            return (new(own, within, native, Types(allocations)), sampled, allocated);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<long> TracedAsync(
        string file, EventPipeProvider[] providers, Func<Task<long>> work, CancellationToken ct)
    {
        var client = new DiagnosticsClient(Environment.ProcessId);
        using var session = await client.StartEventPipeSessionAsync(
            providers, requestRundown: true, BufferMegabytes, ct);
        await using var output = File.Create(file);
        var copied = session.EventStream.CopyToAsync(output, ct);
        var done = await work();
        await session.StopAsync(ct);
        await copied;
        return done;
    }

    private static (IReadOnlyList<Weighed> Own, IReadOnlyList<Weighed> Within, long Native) Samples(string file)
    {
        var (own, within, native) = (new Dictionary<string, double>(), new Dictionary<string, double>(), 0L);
        using var log = new TraceLog(TraceLog.CreateFromEventPipeDataFile(file));
        using var source = log.Events.GetSource();
        var seen = new HashSet<string>();
        new SampleProfilerTraceEventParser(source).ThreadSample += sample =>
        {
            var top = sample.CallStack();
            while (top is not null && IsStopping(NameOf(top.CodeAddress)))
            {
                top = top.Caller;
            }

            if (sample.Type is not ClrThreadSampleType.Managed || top is null || IsWaiting(NameOf(top.CodeAddress)))
            {
                native++;
                return;
            }

            seen.Clear();
            for (var frame = top; frame is not null; frame = frame.Caller)
            {
                var name = NameOf(frame.CodeAddress);
                Add(seen.Count == 0 ? own : null, name, 1);
                if (seen.Add(name))
                {
                    Add(within, name, 1);
                }
            }
        };
        source.Process();
        return (Profile.Sorted(own), Profile.Sorted(within), native);
    }

    /// <summary>Where threads stop to be sampled: their caller is what ran.</summary>
    private static bool IsStopping(string name) => name.Contains("PollGC", StringComparison.Ordinal);

    private static bool IsWaiting(string name) =>
        name.EndsWith(".WaitNative", StringComparison.Ordinal)
        || name.EndsWith(".WaitOneNoCheck", StringComparison.Ordinal);

    private static IReadOnlyList<Weighed> Types(string file)
    {
        var types = new Dictionary<string, double>();
        using var source = new EventPipeEventSource(file);
        source.Clr.GCAllocationTick += tick => Add(types, tick.TypeName, tick.AllocationAmount64);
        source.Process();
        return Profile.Sorted(types);
    }

    /// <summary>Without arguments: an overload is told by what it calls.</summary>
    private static string NameOf(TraceCodeAddress address)
    {
        var name = address.FullMethodName;
        if (name.Length == 0)
        {
            return $"{address.ModuleName}?";
        }

        var arguments = name.IndexOf('(', StringComparison.Ordinal);
        return arguments > 0 ? name[..arguments] : name;
    }

    private static void Add(Dictionary<string, double>? weights, string name, double weight)
    {
        if (weights is not null)
        {
            weights[name] = weights.GetValueOrDefault(name) + weight;
        }
    }
}
