using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Fleet.Client.Runs;
using Fleet.Storage;

namespace Fleet.Client.Commands;

/// <summary>The root command: parses, invokes, and turns every refusal into one sentence and its exit code.</summary>
public static class FleetCommand
{
    public static RootCommand Create(Terminal terminal) =>
        new("Hammers a fleet of PCI devices with peer-to-peer memory, stores what happened and judges it.")
        {
            RunCommand.Create(terminal),
            CheckCommand.Create(terminal),
            RulesCommand.Create(terminal),
            RunsCommand.Create(terminal),
            ShowCommand.Create(terminal),
            FindingsCommand.Create(terminal),
            ExplainCommand.Create(terminal),
            SqlCommand.Create(terminal),
            DbCommand.Create(terminal),
            ClusterCommand.Create(terminal),
            ExportCommand.Create(terminal),
            ImportCommand.Create(terminal),
            TraceCommand.Create(terminal),
            ExploreCommand.Create(terminal),
            MatrixCommand.Create(terminal),
            MuseumCommand.Create(terminal),
            ReplayCommand.Create(terminal),
            VectorsCommand.Create(terminal),
            ProfileCommand.Create(terminal),
            InventoryCommand.Create(terminal),
            ScenarioCommand.Create(terminal),
            ReportCommand.Create(terminal),
            ResumeCommand.Create(terminal),
            CtlCommand.Create(terminal),
            DoctorCommand.Create(terminal),
        };

    public static async Task<int> InvokeAsync(string[] args, Terminal terminal)
    {
        try
        {
            var result = Create(terminal).Parse(
                args, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
            if (result.Action is ParseErrorAction)
                throw new UsageException(SentenceOf(result));
            if (ForeignOption(result) is { } option)
                throw new UsageException(NotKnown(result, option));

            return await result.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = terminal.Output,
                Error = terminal.Error,
            });
        }
        catch (Exception e) when (e is UsageException or StorageException)
        {
            await terminal.Error.WriteLineAsync($"fleet: {e.Message}");
            return ExitCode.Usage;
        }
        catch (CutOffException e)
        {
            await terminal.Error.WriteLineAsync($"fleet: {e.Message}");
            return ExitCode.Infrastructure;
        }
        catch (OutcomeUnknownException e)
        {
            await terminal.Error.WriteLineAsync($"fleet: the store stopped answering: {e.Message}");
            return ExitCode.Infrastructure;
        }
        catch (Exception e)
        {
            await terminal.Error.WriteLineAsync(
                $"fleet: this is a defect of Fleet itself, please report it with what follows.\n{e}");
            return ExitCode.Harness;
        }
    }

    /// <summary>One sentence for the first thing that is wrong, with what could stand there.</summary>
    private static string SentenceOf(ParseResult result)
    {
        var command = result.CommandResult.Command;
        if ((ForeignOption(result) ?? result.UnmatchedTokens.FirstOrDefault()) is { } foreign)
            return NotKnown(result, foreign);

        if (result.CommandResult.Tokens.Count == 0 && command.Subcommands.Count > 0)
            return $"'{PathOf(result)}' needs a command; accepted: "
                + $"{string.Join(", ", command.Subcommands.Select(sub => sub.Name))}.";

        return Missing(result) ?? ForeignText.Clean(result.Errors[0].Message, 1000);
    }

    private static string NotKnown(ParseResult result, string word)
    {
        var command = result.CommandResult.Command;
        var words = command.Subcommands.Count > 0
            ? command.Subcommands.Select(sub => sub.Name)
            : command.Options.Where(option => !option.Hidden).Select(option => option.Name);
        return $"{ForeignText.Quote(word)} is not known to '{PathOf(result)}'; accepted: {string.Join(", ", words)}.";
    }

    /// <summary>An option that there is not, which the parser took for an argument; null for none.</summary>
    private static string? ForeignOption(ParseResult result) => result.CommandResult.Children.OfType<ArgumentResult>()
        .SelectMany(argument => argument.Tokens).Select(token => token.Value)
        .FirstOrDefault(word => word.Length > 2 && word.StartsWith("--", StringComparison.Ordinal)
            && char.IsAsciiLetterLower(word[2])
            && !result.Tokens.Any(token => token.Type is TokenType.DoubleDash));

    /// <returns>Null where the first error is not that a value is missing.</returns>
    private static string? Missing(ParseResult result)
    {
        for (var at = result.Errors[0].SymbolResult; at is not null; at = at.Parent)
        {
            if (at is OptionResult { Tokens.Count: 0, Option: { } option })
                return $"{option.Name} needs a value; accepted: {option.Name} {option.HelpName ?? "VALUE"}, where "
                    + $"{option.HelpName ?? "VALUE"} says: {option.Description}";
        }

        return result.Errors[0].SymbolResult is ArgumentResult { Tokens.Count: 0, Argument: { } argument }
            ? $"'{PathOf(result)}' needs {argument.HelpName ?? argument.Name}; accepted: '{PathOf(result)} "
                + $"{argument.HelpName ?? argument.Name}', where that says: {argument.Description}"
            : null;
    }

    private static string PathOf(ParseResult result)
    {
        var names = new List<string>();
        for (SymbolResult? at = result.CommandResult; at is CommandResult command; at = at.Parent)
            names.Add(command.Parent is null ? "fleet" : command.Command.Name);
        names.Reverse();
        return string.Join(' ', names);
    }
}
