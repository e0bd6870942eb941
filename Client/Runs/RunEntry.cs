using System.Text.Json;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using Fleet.Silo.Faults;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>How a run and its first process are entered in the store, and where that process records.</summary>
internal static class RunEntry
{
    private const long SegmentBytesMin = 1 << 20;

    /// <summary>Enters this process into the run.</summary>
    /// <returns>Its number there.</returns>
    public static async Task<int> EnterAsync(
        RunRequest request, IRunWriter writer, ObjectTable objects, string name, CancellationToken ct)
    {
        var clock = SpoolOptions.MonotonicClock();
        if (request.IsResumed)
            return await writer.JoinAsync(
                name, clock, Environment.MachineName, Environment.ProcessId, ct);

        // The first name of the table, so that the process has one number in records and in the list of processes.
        var process = objects.Intern(name);
        await writer.AddProcessAsync(
            new(process, name, clock, Environment.MachineName, Environment.ProcessId), ct);
        return process;
    }

    public static SpoolOptions SpoolOptionsOf(
        RunRequest request, string directory, int process, string name, string clock)
    {
        const int segmentsWithinBound = 8;
        var options = new SpoolOptions(directory, request.Name, process, name, clock);
        return request.SpoolBoundBytes is { } bound
            ? options with
            {
                BoundBytes = bound,
                SegmentBytes = (int)Math.Clamp(bound / segmentsWithinBound, SegmentBytesMin, options.SegmentBytes),
            }
            : options;
    }

    public static RunInfo InfoOf(RunRequest request, string clock) => new(request.Name)
    {
        Scenario = request.Scenario.Name,
        Profile = request.Profile.Name,
        Seed = request.Scenario.Seed,
        Clock = clock,
        EpochNs = MonotonicNs.Now,
        StartedAt = DateTimeOffset.UtcNow,
        CommandLine = StoreAddress.Redact(request.CommandLine),
        Settings = JsonSerializer.Serialize(
            new
            {
                claim = request.Scenario.Claim,
                devices = request.Plan.Devices.Length,
                resources = request.Plan.ResourceCount,
                silos = request.Silos,
                cluster = request.Cluster,
                clusterSettings = request.Scenario.Cluster with { Messages = MessagesOf(request.Scenario) },
                probes = request.Scenario.RequiredProbes,
                plan = SharedRun.ToJson(request.Shared!),
                phases = request.Scenario.Phases.Select(
                    phase => new { phase.Name, phase.For.TotalSeconds, phase.RateShare }),
            },
            RunSummary.Json),
    };

    private static MessageFault[] MessagesOf(Scenario scenario) =>
    [
        .. scenario.Faults.Where(fault => fault.Kind is FaultKind.Message).SelectMany(fault =>
        {
            var share = fault.When is FaultSchedule.Probability probability ? probability.Value : 0;
            MessageFaultKind[] kinds = fault.Target switch
            {
                "delay" => [MessageFaultKind.Delay],
                "drop" => [MessageFaultKind.Drop],
                "duplicate" => [MessageFaultKind.Duplicate],
                "cancel" => [MessageFaultKind.Cancel],
                _ => [MessageFaultKind.Delay, MessageFaultKind.Drop, MessageFaultKind.Duplicate],
            };
            return kinds.Select(kind => new MessageFault(kind, share / kinds.Length));
        }),
    ];
}
