using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Fleet.Kernel.Host;

namespace Fleet.Simulation.Scenarios;

/// <summary>Changes of a scenario that fit into a token: one more failure, one actor less, a smaller world.</summary>
/// <remarks>
/// <c>+late</c> kills show late; <c>+keeps</c> freed memory keeps its contents; <c>+reuse</c> the next allocation of a
/// page map gets the memory of a freed one; <c>+fail=STEP@HIT</c> one step fails once; <c>-fail=STEP@HIT</c> a failure
/// of the scenario's own is left out; <c>-B</c> the actor B is left out;
/// <c>+L1</c> one resource instead of two.
/// </remarks>
public static class ScenarioEdit
{
    public const string Late = "+late";
    public const string Keeps = "+keeps";
    public const string Reuse = "+reuse";
    public const string OneResource = "+L1";

    public static string Fail(FailPoint point, int hit) => $"+fail={Failure(point, hit)}";

    /// <summary>Finds a scenario by its id, or a written one by its text, with edits behind it.</summary>
    public static bool TryFind(string name, [NotNullWhen(true)] out Scenario? scenario)
    {
        var end = name.IndexOfAny(['+', '-']);
        var id = end < 0 ? name : name[..end];
        if (!ScenarioCatalog.TryFind(id, out scenario))
        {
            scenario = WorldScript.TryParse(id, out var script) ? script.ToScenario() : null;
        }

        while (end >= 0 && scenario is not null)
        {
            var next = name.IndexOfAny(['+', '-'], end + 1);
            scenario = Apply(scenario, next < 0 ? name[end..] : name[end..next]);
            end = next;
        }

        return scenario is not null;
    }

    /// <returns>Null where the edit says nothing of this scenario.</returns>
    public static Scenario? Apply(Scenario scenario, string edit)
    {
        var edited = edit switch
        {
            Late => scenario with { ShowsKillsLate = true },
            Keeps => scenario with { FreedMemoryKeeps = true },
            Reuse => scenario.Layout is Layout.L1Twice || scenario.Script is { Binds: > 1 }
                ? scenario with { FreedMemoryIsReused = true }
                : null,
            OneResource => scenario.Layout is Layout.L2 or Layout.L2c ? scenario with { Layout = Layout.L1 } : null,
            _ when edit.StartsWith("+fail=", StringComparison.Ordinal) =>
                TryReadFailure(edit[6..], out var more) && !scenario.Injections.Contains(more)
                    ? scenario with { Injections = [.. scenario.Injections, more] }
                    : null,
            _ when edit.StartsWith("-fail=", StringComparison.Ordinal) =>
                TryReadFailure(edit[6..], out var less) && scenario.Injections.Contains(less)
                    ? scenario with { Injections = [.. scenario.Injections.Where(one => one != less)] }
                    : null,
            _ => scenario.Actors.Any(one => one.Name == edit[1..])
                ? scenario with { Actors = [.. scenario.Actors.Where(one => one.Name != edit[1..])] }
                : null,
        };
        return edited is null ? null : edited with { Edits = [.. scenario.Edits, edit], Sightings = [] };
    }

    /// <summary>Everything that could be left out of a scenario, the most first.</summary>
    internal static IEnumerable<string> Smaller(Scenario scenario)
    {
        foreach (var actor in scenario.Actors.Skip(1))
        {
            yield return $"-{actor.Name}";
        }

        foreach (var (point, hit) in scenario.Injections)
        {
            yield return $"-fail={Failure(point, hit)}";
        }

        if (scenario.Layout is Layout.L2 or Layout.L2c)
        {
            yield return OneResource;
        }
    }

    private static string Failure(FailPoint point, int hit) =>
        string.Create(CultureInfo.InvariantCulture, $"{FailPoints.WireName(point)}@{hit}");

    private static bool TryReadFailure(string text, out (FailPoint Point, int Hit) failure)
    {
        failure = default;
        var at = text.IndexOf('@', StringComparison.Ordinal);
        return at > 0
            && FailPoints.TryParse(text[..at], out failure.Point)
            && int.TryParse(text[(at + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out failure.Hit)
            && failure.Hit is > 0 and < 1000;
    }
}
