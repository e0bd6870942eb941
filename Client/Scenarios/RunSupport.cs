using Fleet.Client.Inventory;

namespace Fleet.Client.Scenarios;

/// <summary>Tells what of a scenario the live fleet of this build runs; a file may say more than that.</summary>
public static class RunSupport
{
    /// <param name="hasPrivateServer">The store is a server that Fleet started, and may kill.</param>
    /// <exception cref="UsageException">The scenario asks for something that is described but not run yet.</exception>
    public static void Demand(Scenario scenario, bool hasPrivateServer = false)
    {
        foreach (var fault in scenario.Faults)
            Demand(scenario, fault, hasPrivateServer);
    }

    private static void Demand(Scenario scenario, Fault fault, bool hasPrivateServer)
    {
        if (fault.Kind is FaultKind.DbKill)
        {
            if (!hasPrivateServer)
                Refuse(
                    scenario, "faults: db-kill of a server that Fleet did not start",
                    "--store private, after fleet db up");
            if (fault.When is not (FaultSchedule.At or FaultSchedule.Interval))
                Refuse(scenario, $"a db-kill by {Word(fault.When.GetType().Name)}",
                    "at: { kind: at, after: 3s } and every: { kind: interval, mean: 20s }");
            return;
        }

        if (fault.Kind is not FaultKind.Inject)
            Refuse(scenario, $"faults: {Word(fault.Kind.ToString())}", "inject and db-kill");

        if (fault.When is not (FaultSchedule.Probability or FaultSchedule.Nth))
            Refuse(scenario, $"an injection by {Word(fault.When.GetType().Name)}",
                "every: { kind: probability } and every: { kind: nth }");
    }

    private static void Refuse(Scenario scenario, string asked, string runs) =>
        throw new UsageException(
            $"Scenario {scenario.Name} asks for {asked}, which this build does not run; accepted: {runs}.");

    private static string Word(string pascal) =>
        string.Concat(
            pascal.Select((letter, index) => char.IsUpper(
                letter) && index > 0 ? $"-{char.ToLowerInvariant(letter)}" : $"{char.ToLowerInvariant(letter)}"));
}
