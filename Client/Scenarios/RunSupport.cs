using Fleet.Client.Inventory;

namespace Fleet.Client.Scenarios;

/// <summary>What a live run has that faults may strike.</summary>
/// <param name="Silos">Silo processes that the run starts itself; 0 for none.</param>
/// <param name="HasPrivateServer">The store is a server that Fleet started, and may kill.</param>
/// <param name="Generators">Processes that make the load.</param>
public readonly record struct FaultTargets(int Silos, bool HasPrivateServer, int Generators = 1);

/// <summary>Tells what of a scenario the live fleet of this build runs; a file may say more than that.</summary>
public static class RunSupport
{
    /// <exception cref="UsageException">The scenario asks for something that cannot be done to the run.</exception>
    public static void Demand(Scenario scenario, FaultTargets targets = default)
    {
        foreach (var fault in scenario.Faults)
            Demand(scenario, fault, targets);
    }

    /// <summary>The word that a scenario has for a name of this program.</summary>
    public static string Word(string pascal) =>
        string.Concat(
            pascal.Select((letter, index) => char.IsUpper(
                letter) && index > 0 ? $"-{char.ToLowerInvariant(letter)}" : $"{char.ToLowerInvariant(letter)}"));

    private static void Demand(Scenario scenario, Fault fault, FaultTargets targets)
    {
        switch (fault.Kind)
        {
            case FaultKind.Inject:
                if (fault.When is not (FaultSchedule.Probability or FaultSchedule.Nth))
                    Refuse(scenario, $"an injection by {Word(fault.When.GetType().Name)}",
                        "every: { kind: probability } and every: { kind: nth }");
                break;
            case FaultKind.DbKill:
                if (!targets.HasPrivateServer)
                    Refuse(
                        scenario, "faults: db-kill of a server that Fleet did not start",
                        "--store private, after fleet db up");
                DemandTimes(scenario, fault);
                break;
            case FaultKind.SiloKill or FaultKind.SiloPause or FaultKind.SiloRestart:
                if (targets.Silos < 2)
                    Refuse(
                        scenario, $"faults: {Word(fault.Kind.ToString())}, and another silo has to go on",
                        "--silos 2 or more, with --store private or postgres://…");
                DemandTimes(scenario, fault);
                DemandSilo(scenario, fault, targets);
                break;
            case FaultKind.DbSlow or FaultKind.DbCut:
                if (targets is not { Silos: > 0, HasPrivateServer: true })
                    Refuse(
                        scenario, $"faults: {Word(fault.Kind.ToString())}, which strikes between silos and a server "
                        + "that Fleet started", "--silos 1 or more with --store private, after fleet db up");
                DemandTimes(scenario, fault);
                DemandSilo(scenario, fault, targets, "all");
                break;
            case FaultKind.SurpriseRemove:
                DemandTimes(scenario, fault);
                break;
            case FaultKind.Partition:
                if (targets.Silos < 2)
                    Refuse(
                        scenario, "faults: partition, which parts silos", "--silos 2 or more");
                DemandTimes(scenario, fault);
                DemandSilo(scenario, fault, targets);
                break;
            case FaultKind.Isolate:
                if (targets is not { Silos: > 1, HasPrivateServer: true })
                    Refuse(
                        scenario, "faults: isolate, which parts a silo from the others and from a server that Fleet "
                        + "started", "--silos 2 or more with --store private, after fleet db up");
                DemandTimes(scenario, fault);
                DemandSilo(scenario, fault, targets);
                break;
            case FaultKind.GeneratorKill:
                if (targets is not { Generators: > 1, HasPrivateServer: true })
                    Refuse(
                        scenario, "faults: generator-kill, which kills generators that the run starts beside itself",
                        "--generators 2 or more with --silos N and --store private");
                DemandTimes(scenario, fault);
                if (fault.Target is not (null or "random")
                    && !(int.TryParse(fault.Target, out var generator) && generator >= 2
                        && generator <= targets.Generators))
                    Refuse(
                        scenario, $"a generator-kill with target: {fault.Target}",
                        $"random, and a generator from 2 to {targets.Generators}");
                break;
            case FaultKind.Message:
                if (targets.Silos < 1)
                    Refuse(scenario, "faults: message, which strikes between processes", "--silos 1 or more");
                if (fault.When is not FaultSchedule.Probability)
                    Refuse(
                        scenario, $"a message fault by {Word(fault.When.GetType().Name)}",
                        "every: { kind: probability, p: 0.01 }");
                if (fault.Target is not (null or "random" or "delay" or "drop" or "duplicate" or "cancel"))
                    Refuse(
                        scenario, $"a message fault with target: {fault.Target}",
                        "delay, drop, duplicate, cancel and random");
                break;
            default:
                Refuse(
                    scenario, $"faults: {Word(fault.Kind.ToString())}",
                    "inject, db-kill, db-slow, db-cut, silo-kill, silo-pause, silo-restart, partition, "
                    + "isolate, generator-kill, message and surprise-remove");
                break;
        }
    }

    private static void DemandTimes(Scenario scenario, Fault fault)
    {
        if (fault.When is not (FaultSchedule.At or FaultSchedule.Interval))
            Refuse(scenario, $"a {Word(fault.Kind.ToString())} by {Word(fault.When.GetType().Name)}",
                "at: { kind: at, after: 3s } and every: { kind: interval, mean: 20s }");
    }

    private static void DemandSilo(Scenario scenario, Fault fault, FaultTargets targets, string? also = null)
    {
        var isKnown = fault.Target is null or "random" || fault.Target == also
            || (fault is { Kind: FaultKind.SiloRestart, Target: "rolling" })
            || (int.TryParse(fault.Target, out var number) && number >= 1 && number <= targets.Silos);
        if (!isKnown)
            Refuse(
                scenario, $"a {Word(fault.Kind.ToString())} with target: {fault.Target}",
                $"random, a silo from 1 to {targets.Silos}, and rolling for a silo-restart");
    }

    private static void Refuse(Scenario scenario, string asked, string runs) =>
        throw new UsageException(
            $"Scenario {scenario.Name} asks for {asked}, which this build does not run; accepted: {runs}.");
}
