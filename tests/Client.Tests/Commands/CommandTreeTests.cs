using System.CommandLine;
using System.Text;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Commands;

/// <summary>What a script may rely on: every command with its arguments and options, frozen.</summary>
[Trait("tier", "fast")]
public sealed class CommandTreeTests
{
    private const string ApprovedFile = "commands.approved.txt";

    // Goal: a command or option is not renamed by accident. A change that is meant is approved by running the tests
    // with
    // FLEET_APPROVE=1 and committing the file.
    [Fact]
    public void Commands_and_options_are_those_that_were_approved()
    {
        using var writer = new StringWriter();
        var tree = new StringBuilder();
        Describe(FleetCommand.Create(new Terminal(writer, writer, isInteractive: false)), "fleet", tree);
        var approved = RepositoryFolder.In("tests", "Client.Tests", "Commands", ApprovedFile);
        if (Environment.GetEnvironmentVariable("FLEET_APPROVE") == "1")
            File.WriteAllText(approved, tree.ToString());

        Assert.Equal(File.ReadAllText(approved), tree.ToString());
    }

    private static void Describe(Command command, string path, StringBuilder tree)
    {
        tree.Append(path);
        foreach (var argument in command.Arguments)
            tree.Append(
                argument.Arity.MinimumNumberOfValues == 0 || argument.HasDefaultValue ? $" [{argument.Name}]"
                    : $" {argument.Name}");
        tree.Append(": ").AppendLine(command.Description);
        foreach (var option in command.Options.Where(option => option.Name is not ("--help" or "--version")))
            tree.Append("  ").Append(option.Name).Append(option.ValueType == typeof(bool) ? "" : " ").Append(
                option.ValueType == typeof(bool) ? "" : option.HelpName).Append(": ").AppendLine(option.Description);
        foreach (var child in command.Subcommands)
            Describe(child, $"{path} {child.Name}", tree);
    }
}
