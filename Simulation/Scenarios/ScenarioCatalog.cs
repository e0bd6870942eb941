namespace Fleet.Simulation.Scenarios;

/// <summary>Every scenario that is there, in the order of the matrix.</summary>
public static class ScenarioCatalog
{
    public static IReadOnlyList<Scenario> All { get; } =
        [
        .. P2pScenarios.All.Concat(P2pScenarios.Mapped).Concat(DriverScenarios.All)
            .OrderBy(one => Number(one.Id)).ThenBy(one => one.Id, StringComparer.Ordinal),
    ];

    /// <summary>Finds a scenario by its id; upper and lower case are the same.</summary>
    public static bool TryFind(string id, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Scenario? scenario)
    {
        scenario = All.FirstOrDefault(one => string.Equals(one.Id, id, StringComparison.OrdinalIgnoreCase));
        return scenario is not null;
    }

    private static int Number(string id) =>
        int.Parse(id[1..].TrimEnd('c'), System.Globalization.CultureInfo.InvariantCulture);
}
