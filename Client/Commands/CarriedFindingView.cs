using Fleet.Kernel.Judging;
using Fleet.Simulation.Replay;

namespace Fleet.Client.Commands;

/// <summary>Says what became of a finding that was carried into small worlds.</summary>
internal static class CarriedFindingView
{
    public static void Show(Terminal terminal, LoadedFinding finding, CarriedFinding carried)
    {
        var name = $"{finding.Name} ({ForeignText.Clean(carried.Rule)})";
        if (carried.Obstacle is { } obstacle)
        {
            terminal.Say($"{name} cannot be carried into a small world: {ForeignText.Clean(obstacle)}.");
            return;
        }

        if (carried.Shrunk is not { } shrunk)
        {
            terminal.Say(
                $"{name} could not be reproduced: {ExploreCommand.Number(carried.Worlds)} small worlds under "
                + $"{carried.Profile}, {ExploreCommand.Number(carried.Schedules)} schedules"
                + (carried.IsExhausted ? ", all there are; " : ", not all there are; ")
                + (carried.Others.IsEmpty
                    ? "no rule broke."
                    : $"they break {carried.Others} instead, and a world ends where the modelled kernel dies."));
            return;
        }

        terminal.Say($"{name} is reproduced in {carried.First!.Name} under {carried.Profile}.");
        terminal.Say(
            $"Shrunk to {shrunk.Token.Scenario.Name}, {shrunk.Steps} steps, {shrunk.Switches} context switches ("
            + (shrunk.IsLeast ? "no schedule of it has fewer" : "fewer were not ruled out")
            + (shrunk.IsOneMinimal ? "; no step can be left out" : "; a step may be left out")
            + (carried.IsWorldMinimal ? "; no operation can be left out" : "; smaller worlds were not all exhausted")
            + $"), after {ExploreCommand.Number(carried.Schedules)} schedules of "
            + $"{ExploreCommand.Number(carried.Worlds)} worlds.");
        terminal.Say($"fleet replay {shrunk.Token}");
        terminal.Say("");
    }

    /// <param name="replay">The shrunk schedule, run; null where there is none.</param>
    public static object ToJson(LoadedFinding finding, CarriedFinding carried, object? replay = null) => new
    {
        finding = finding.Name,
        rule = carried.Rule,
        profile = carried.Profile?.Name,
        isReproduced = carried.IsReproduced,
        obstacle = carried.Obstacle,
        worlds = carried.Worlds,
        schedules = carried.Schedules,
        isExhausted = carried.IsExhausted,
        others = carried.Others.Rules.Select(KernelRules.WireName),
        first = carried.First?.Name,
        world = carried.Shrunk?.Token.Scenario.Name,
        isWorldMinimal = carried.IsWorldMinimal,
        isLeast = carried.Shrunk?.IsLeast,
        isOneMinimal = carried.Shrunk?.IsOneMinimal,
        switches = carried.Shrunk?.Switches,
        steps = carried.Shrunk?.Steps,
        token = carried.Shrunk?.Token.ToString(),
        replay,
    };
}
