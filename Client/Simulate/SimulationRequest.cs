using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Simulation.Cluster;
using FaultPlan = Fleet.Simulation.Cluster.FaultPlan;

namespace Fleet.Client.Simulate;

/// <summary>Turns a scenario into the plan of a simulated run.</summary>
/// <remarks>Lease, patience and polls are those of a live run, so that the same file drives both.</remarks>
public static class SimulationRequest
{
    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    /// <exception cref="UsageException">The scenario asks for something that the simulation does not model.</exception>
    public static void Demand(Scenario scenario)
    {
        foreach (var fault in scenario.Faults)
            Demand(scenario, fault);
    }

    /// <param name="silos">Silos of the virtual cluster.</param>
    public static SimulationPlan PlanOf(RunRequest request, int silos)
    {
        var scenario = request.Scenario;
        var load = scenario.Load;
        var injections = scenario with
        {
            Faults = [.. scenario.Faults.Where(fault => fault.Kind is FaultKind.Inject)],
        };
        var hosts = new LoadFleet(request.Plan, new()).Hosts;
        var devices = hosts.Sum(host => host.Devices.Count);
        return new(
            (request with { Scenario = injections }).ToRunPlan(CallPatience, Lease),
            hosts,
            new(
                load.Clients,
                ArrivalsOf(scenario),
                load.Operations.Alloc,
                load.Operations.Access,
                load.Operations.Free,
                load.Operations.Unbind,
                [.. load.SizeBytes.Select(size => (size.Value, size.Weight))],
                HoldOf(load.Hold),
                [.. WeightedSampler.WeightsOf(load.Devices, devices)],
                load.Deadline)
            {
                VectorLength = load.VectorLength,
            },
            new(
                scenario.Unbind.RebindAfter,
                scenario.Unbind.WithHolders switch
                {
                    HolderPreference.Prefer => HolderChoice.Prefer,
                    HolderPreference.Avoid => HolderChoice.Avoid,
                    _ => HolderChoice.Any,
                },
                scenario.Unbind.Patience),
            [
                .. scenario.Phases.Select(phase => new PhasePlan(
                    phase.Name, phase.For, phase.RateShare, phase.Name == Phase.Drain)),
            ],
            [.. scenario.Faults.Where(fault => fault.Kind is not FaultKind.Inject).SelectMany(FaultsOf)],
            scenario.RequiredProbes)
        {
            Silos = silos,

            // The first generator drives the run and is never killed.
            Generators = Math.Max(
                request.Generators, scenario.Faults.Any(fault => fault.Kind is FaultKind.GeneratorKill) ? 2 : 1),
        };
    }

    private static Func<int, IArrivals>? ArrivalsOf(Scenario scenario)
    {
        if (scenario.Load.Arrival is not Arrival.Open open)
            return null;

        var schedule = new ArrivalSchedule(open.Rate, scenario.Phases, scenario.Seed);
        return client => new Cursor(schedule.CursorOf(client, scenario.Load.Clients));
    }

    private static HoldPlan HoldOf(HoldTime hold) => hold switch
    {
        HoldTime.Uniform uniform => new(HoldKind.Uniform, uniform.Min, uniform.Max),
        HoldTime.Exponential exponential => new(HoldKind.Exponential, exponential.Mean, exponential.Max),
        HoldTime.Constant constant => new(HoldKind.Constant, constant.Value, constant.Value),
        _ => throw new ArgumentOutOfRangeException(nameof(hold)),
    };

    private static IEnumerable<FaultPlan> FaultsOf(Fault fault)
    {
        SimulatedFault[] kinds = fault.Kind switch
        {
            FaultKind.SiloKill => [SimulatedFault.SiloKill],
            FaultKind.SiloPause => [SimulatedFault.SiloPause],
            FaultKind.SiloRestart => [SimulatedFault.SiloRestart],
            FaultKind.DbKill => [SimulatedFault.DatabaseDown],
            FaultKind.DbSlow => [SimulatedFault.DatabaseSlow],
            FaultKind.SurpriseRemove => [SimulatedFault.SurpriseRemove],
            FaultKind.DbCut => [SimulatedFault.DatabaseCut],
            FaultKind.Partition => [SimulatedFault.Partition],
            FaultKind.Isolate => [SimulatedFault.Isolate],
            FaultKind.GeneratorKill => [SimulatedFault.GeneratorKill],
            _ => MessageFaultsOf(fault),
        };
        return kinds.Select(kind => new FaultPlan(
            kind,
            fault.When is FaultSchedule.At at ? at.After : null,
            fault.When is FaultSchedule.Interval interval ? interval.Mean : null,
            fault.When is FaultSchedule.Probability probability ? probability.Value : 0,
            fault.For,
            fault.Kind is FaultKind.Message || fault.Target == "random" ? null : fault.Target,
            fault.Expect));
    }

    private static SimulatedFault[] MessageFaultsOf(Fault fault) => fault.Target switch
    {
        "delay" => [SimulatedFault.MessageDelay],
        "drop" => [SimulatedFault.MessageDrop],
        "duplicate" => [SimulatedFault.MessageDuplicate],
        _ => [SimulatedFault.MessageDelay, SimulatedFault.MessageDrop, SimulatedFault.MessageDuplicate],
    };

    private static void Demand(Scenario scenario, Fault fault)
    {
        var isInjection = fault.Kind is FaultKind.Inject;
        if (isInjection && fault.When is not (FaultSchedule.Probability or FaultSchedule.Nth))
        {
            Refuse(
                scenario, $"an injection by {Word(fault.When.GetType().Name)}",
                "every: { kind: probability } and every: { kind: nth }");
        }

        if (!isInjection && fault.When is FaultSchedule.Nth)
            Refuse(scenario, $"{Word(fault.Kind)} by nth", "at, interval, and for messages probability");

        if (fault.When is FaultSchedule.Probability && !isInjection && fault.Kind is not FaultKind.Message)
            Refuse(scenario, $"{Word(fault.Kind)} by probability", "at and interval");

        if (fault is { Kind: FaultKind.Message, Target: not (null or "random" or "delay" or "drop" or "duplicate") })
            Refuse(scenario, $"a message fault with target: {fault.Target}", "delay, drop and duplicate");
    }

    private static void Refuse(Scenario scenario, string asked, string runs) =>
        throw new UsageException(
            $"Scenario {scenario.Name} asks for {asked}, which a simulation does not run; accepted: {runs}.");

    private static string Word<T>(T value) => string.Concat(
        value!.ToString()!.Select((letter, index) => char.IsUpper(letter) && index > 0
            ? $"-{char.ToLowerInvariant(letter)}" : $"{char.ToLowerInvariant(letter)}"));

    private sealed class Cursor(ArrivalCursor cursor) : IArrivals
    {
        public bool HasNext => cursor.HasNext;

        public long DueNs => cursor.DueNs;

        public void Advance() => cursor.Advance();
    }
}
