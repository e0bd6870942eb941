using System.CommandLine;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet profile</c>: the kernels, real and counterfactual, that a run can have.</summary>
internal static class ProfileCommand
{
    public static Command Create(Terminal terminal) => new("profile", "Lists kernels and compares two of them.")
    {
        ListAll(terminal),
        Diff(terminal),
    };

    /// <exception cref="UsageException">There is no such profile.</exception>
    public static KernelProfile Parse(string name) => KernelProfile.TryParse(name, out var profile)
        ? profile
        : throw new UsageException(
            $"There is no profile {ForeignText.Quote(name)}; accepted: "
            + $"{string.Join(", ", KernelProfile.All.Select(known => known.Name))}.");

    private static Command ListAll(Terminal terminal)
    {
        var json = CommonOptions.Json();
        var command = new Command("list", "Lists every profile.") { json };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new
                {
                    profiles = KernelProfile.All.Select(profile => new
                    {
                        name = profile.Name,
                        aliases = profile.Aliases,
                        meaning = profile.Meaning,
                        switches = profile.Switches.Select(note => note.Switch.ToString()),
                    }),
                });
                return ExitCode.Valid;
            }

            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("profile", "also called", "meaning");
            foreach (var profile in KernelProfile.All)
                table.AddRow(
                    Terminal.Safe(profile.Name),
                    Terminal.Safe(string.Join(", ", profile.Aliases)),
                    Terminal.Safe(profile.Meaning));
            terminal.Screen.Write(table);
            return ExitCode.Valid;
        });
        return command;
    }

    private static Command Diff(Terminal terminal)
    {
        var left = new Argument<string>("LEFT") { Description = "A profile." };
        var right = new Argument<string>("RIGHT") { Description = "Another one." };
        var json = CommonOptions.Json();
        var command = new Command("diff", "Says which steps differ between two profiles.") { left, right, json };
        command.SetAction(parsed =>
        {
            var (one, other) = (Parse(parsed.GetRequiredValue(left)), Parse(parsed.GetRequiredValue(right)));
            var differences = KernelProfile.Diff(one, other).ToList();
            var worlds = StepDiff.Of(one, other).ToList();
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new
                {
                    left = one.Name,
                    right = other.Name,
                    differences = differences.Select(difference => new
                    {
                        @switch = difference.Note.Switch.ToString(),
                        on = difference.On.Name,
                        setBy = difference.Note.SetBy,
                        function = difference.Note.Function,
                        effect = difference.Note.Effect,
                    }),
                    worlds = worlds.Select(world => new
                    {
                        scenario = world.Scenario.Id,
                        title = world.Scenario.Title,
                        left = world.Left.Steps.Select(step => step.Step.ToString()),
                        leftRules = world.Left.Broken.Rules.Select(KernelRules.WireName),
                        right = world.Right.Steps.Select(step => step.Step.ToString()),
                        rightRules = world.Right.Broken.Rules.Select(KernelRules.WireName),
                    }),
                });
                return ExitCode.Valid;
            }

            foreach (var (asked, profile) in new[] { (left, one), (right, other) })
            {
                var name = parsed.GetRequiredValue(asked);
                terminal.Say(string.Equals(name, profile.Name, StringComparison.OrdinalIgnoreCase)
                    ? $"{profile.Name}: {profile.Meaning}"
                    : $"{ForeignText.Clean(name, 32)} is {profile.Name}: {profile.Meaning}");
            }

            foreach (var patch in differences.GroupBy(difference => difference.Note.SetBy))
                Print(terminal, [.. patch]);

            terminal.Say("");
            terminal.Say(differences.Count == 0
                ? $"{one.Name} and {other.Name} take the same steps."
                : $"{one.Name} and {other.Name} differ in {differences.Count} "
                    + (differences.Count == 1 ? "switch." : "switches."));
            if (differences.Count > 0)
                Print(terminal, worlds, one, other);
            return ExitCode.Valid;
        });
        return command;
    }

    private static void Print(Terminal terminal, IReadOnlyList<(KernelSwitchNote Note, KernelProfile On)> rows)
    {
        terminal.Say("");
        terminal.Say(rows[0].Note.SetBy);
        foreach (var (note, on) in rows)
        {
            terminal.Say(
                $"  {on.Name.PadRight(rows.Max(row => row.On.Name.Length))} only  "
                + $"{note.Function.PadRight(rows.Max(row => row.Note.Function.Length))}  "
                + $"{note.Effect} [{note.Switch}]");
        }
    }

    /// <summary>Prints the first world in full and names the others.</summary>
    private static void Print(
        Terminal terminal, IReadOnlyList<StepDiff> worlds, KernelProfile left, KernelProfile right)
    {
        terminal.Say("");
        if (worlds.Count == 0)
        {
            terminal.Say(
                "With one actor alone they take the same steps in every small world; a race may tell them apart.");
            return;
        }

        var shown = worlds[0];
        terminal.Say(
            $"One actor alone, {shown.Scenario.Id} ({shown.Scenario.Title}); "
            + $"- {left.Name} only, + {right.Name} only:");
        foreach (var (mark, step) in shown.Lines())
            terminal.Say($"  {mark} {step}");
        foreach (var (profile, report) in new[] { (left, shown.Left), (right, shown.Right) })
            terminal.Say($"{profile.Name}: {StepDiff.EndOf(report)}");
        if (worlds.Count > 1)
        {
            terminal.Say(
                $"The steps differ in {string.Join(", ", worlds.Skip(1).Select(world => world.Scenario.Id))} too; "
                + $"with several actors see fleet explore SCENARIO --profile {right.Name}.");
        }
    }
}
