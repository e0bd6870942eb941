using System.Globalization;
using System.Net;
using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;
using Fleet.Silo;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.HotPath;

/// <summary>One silo of a measured fleet, in a process of its own, checked online; ends with its input.</summary>
/// <remarks>
/// Says its endpoints in one line, then answers a line for a line: <c>use</c> with CPU-seconds and allocated bytes,
/// <c>findings</c> with their number, <c>hops</c> with the messages to other silos since the <c>hops</c> before, which
/// are counted from the first one on.
/// </remarks>
internal static class SiloProcess
{
    /// <summary>First argument of a process that is one.</summary>
    public const string Name = "measured-silo";

    /// <param name="args">After the name: run, directory of the spool, number from 1, endpoint of the first silo or
    /// nothing.</param>
    public static async Task<int> RunAsync(string[] args)
    {
        var (run, number) = (args[1], int.Parse(args[3], CultureInfo.InvariantCulture));
        var objects = new ObjectTable();
        using var spool = SpoolWriter.Create(
            new(args[2], run, number + 1, $"silo-{number}", SpoolOptions.MonotonicClock()), objects);
        var findings = 0L;
        await using var fleet = await EmbeddedFleet.StartAsync(
            new()
            {
                Run = run,
                Objects = objects,
                Log = new SpoolLog(spool),
                Streams = new OnlineChecker("ALL", objects, _ => Interlocked.Increment(ref findings)),
                ProcessId = number + 1,
                Process = $"silo-{number}",
                FirstSilo = args[4].Length == 0 ? null : IPEndPoint.Parse(args[4]),
            },
            CancellationToken.None);
        using var hops = new SiloHops();
        await Console.Out.WriteLineAsync($"{fleet.SiloEndpoint} {fleet.GatewayEndpoint}");
        while (await Console.In.ReadLineAsync() is { } question)
        {
            var use = Use.OfThisProcess;
            await Console.Out.WriteLineAsync(question switch
            {
                "use" => string.Create(CultureInfo.InvariantCulture, $"{use.CpuSeconds} {use.AllocatedBytes}"),
                "hops" => hops.Take().ToString(CultureInfo.InvariantCulture),
                _ => Interlocked.Read(ref findings).ToString(CultureInfo.InvariantCulture),
            });
        }

        return 0;
    }
}
