using Fleet.Client.Inventory;

namespace Fleet.Client.Scenarios;

/// <summary>Tells what of a scenario the live fleet of this build runs; a file may say more than that.</summary>
public static class RunSupport
{
    /// <exception cref="UsageException">The scenario asks for something that is described but not run yet.</exception>
    public static void Demand(Scenario scenario)
    {
        if (scenario.Fleet.Placement is GrainPlacement.Spread)
            Refuse(scenario, "fleet.placement: spread", "colocated");

        // Placed as asked, but no device sees another's mappings here, so the conflict that is asked for would never
        // come.
        if (scenario.Fleet.Sections is SectionPlacement.Shared)
            Refuse(scenario, "fleet.sections: shared", "own");

        foreach (var fault in scenario.Faults)
            Demand(scenario, fault);
    }

    private static void Demand(Scenario scenario, Fault fault)
    {
        if (fault.Kind is not FaultKind.Inject)
            Refuse(scenario, $"faults: {Word(fault.Kind.ToString())}", "inject");

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
