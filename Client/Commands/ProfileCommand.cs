using System.CommandLine;
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
                        effect = difference.Note.Effect,
                    }),
                });
                return ExitCode.Valid;
            }

            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("switch", "on in", "set by", "effect");
            foreach (var (note, on) in differences)
                table.AddRow(
                    note.Switch.ToString(),
                    Terminal.Safe(on.Name),
                    Terminal.Safe(note.SetBy),
                    Terminal.Safe(note.Effect));
            terminal.Screen.Write(table);
            terminal.Say(differences.Count == 0
                ? $"{one.Name} and {other.Name} take the same steps."
                : $"{one.Name} and {other.Name} differ in {differences.Count} switch(es).");
            return ExitCode.Valid;
        });
        return command;
    }
}
