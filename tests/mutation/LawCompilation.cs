using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Fleet.Mutation;

/// <summary>The law compiled once, with all mutants of the chosen folders in it.</summary>
/// <param name="Mutants">Those that compile.</param>
/// <param name="Impossible">Those that do not: they break a rule of the language, such as definite assignment.</param>
internal sealed partial record LawCompilation(byte[] Image, List<Mutant> Mutants, List<Mutant> Impossible)
{
    private static readonly CSharpParseOptions Language = new(LanguageVersion.CSharp14);

    /// <summary>Compiles the law; leaves out mutant after mutant that the compiler refuses.</summary>
    /// <exception cref="InvalidOperationException">It does not compile for a reason that is no mutant.</exception>
    public static LawCompilation Compile(string root, string configuration, IReadOnlyCollection<string> folders)
    {
        var kernel = Path.Combine(root, "Kernel");
        var generated = Path.Combine(kernel, "obj", configuration, "net10.0");
        var files = Directory.GetFiles(kernel, "*.cs", SearchOption.AllDirectories)
            .Where(path => !Path.GetRelativePath(kernel, path).Split('/')[0].Equals("obj", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Concat(Directory.GetFiles(generated, "*.cs"));
        var options = new CSharpCompilationOptions(
            OutputKind.DynamicallyLinkedLibrary, optimizationLevel: OptimizationLevel.Release, checkOverflow: true,
            nullableContextOptions: NullableContextOptions.Enable, warningLevel: 0, concurrentBuild: false);
        var frame = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(':')
            .Where(path => Path.GetFileName(path).StartsWith("System.", StringComparison.Ordinal))
            .Select(path => MetadataReference.CreateFromFile(path));
        var plain = CSharpCompilation.Create(
            "Fleet.Kernel", files.Select(path => Parse(File.ReadAllText(path), path)), frame, options);
        HashSet<int> excluded = [];
        var flip = Parse(
            File.ReadAllText(Path.Combine(root, "tests", "mutation", "MutantSwitch.cs")), "MutantSwitch.cs");
        while (true)
        {
            List<Mutant> mutants = [];
            var trees = plain.SyntaxTrees
                .Select(tree => Mutate(plain.GetSemanticModel(tree), kernel, folders, excluded, mutants))
                .ToList();
            var mutated = plain.RemoveAllSyntaxTrees().AddSyntaxTrees([.. trees, flip]);
            using var stream = new MemoryStream();
            var result = mutated.Emit(stream);
            if (result.Success)
            {
                return new(
                    stream.ToArray(),
                    [.. mutants.Where(mutant => !excluded.Contains(mutant.Id))],
                    [.. mutants.Where(mutant => excluded.Contains(mutant.Id))]);
            }

            var errors = result.Diagnostics.Where(found => found.Severity is DiagnosticSeverity.Error).ToList();
            var before = excluded.Count;
            foreach (var error in errors)
            {
                excluded.UnionWith(Blamed(error, mutants, excluded));
            }

            if (excluded.Count == before)
            {
                throw new InvalidOperationException($"The law does not compile: {errors[0]}");
            }
        }
    }

    private static SyntaxTree Parse(string text, string path) => CSharpSyntaxTree.ParseText(text, Language, path);

    private static SyntaxTree Mutate(
        SemanticModel model, string kernel, IReadOnlyCollection<string> folders, HashSet<int> excluded,
        List<Mutant> mutants)
    {
        var file = Path.GetRelativePath(kernel, model.SyntaxTree.FilePath);
        var folder = file.Split('/')[0];
        if (!folders.Contains(folder))
        {
            return model.SyntaxTree;
        }

        var first = mutants.Count == 0 ? 0 : mutants[^1].Id + 1;
        var mutator = new Mutator(model, folder, file, excluded, first);
        var root = (CompilationUnitSyntax)mutator.Visit(model.SyntaxTree.GetRoot())!;
        mutants.AddRange(mutator.Mutants);
        return CSharpSyntaxTree.Create(root, Language, model.SyntaxTree.FilePath);
    }

    /// <summary>
    /// The innermost mutant at the place of an error; else those of the same member that name what the error names;
    /// else all of that member.
    /// </summary>
    private static HashSet<int> Blamed(Diagnostic error, List<Mutant> mutants, HashSet<int> excluded)
    {
        if (error.Location.SourceTree is not { } tree)
        {
            return [];
        }

        var node = tree.GetRoot().FindNode(error.Location.SourceSpan, getInnermostNodeForTie: true);
        foreach (var around in node.AncestorsAndSelf())
        {
            HashSet<int> here =
            [
                .. around.GetAnnotations(Mutator.Site)
                    .Select(mark => int.Parse(mark.Data!, CultureInfo.InvariantCulture))
                    .Where(id => !excluded.Contains(id)),
            ];
            if (here.Count > 0)
            {
                return here;
            }

            if (around is MemberDeclarationSyntax)
            {
                HashSet<int> inside =
                [
                    .. around.GetAnnotatedNodes(Mutator.Site).SelectMany(site => site.GetAnnotations(Mutator.Site))
                        .Select(mark => int.Parse(mark.Data!, CultureInfo.InvariantCulture)),
                ];
                var names = Quoted().Matches(error.GetMessage(CultureInfo.InvariantCulture))
                    .Select(match => match.Groups[1].Value).ToList();
                HashSet<int> named =
                [
                    .. mutants.Where(mutant => inside.Contains(mutant.Id)
                        && mutant.Kind is MutantKind.Removal
                        && names.Any(name => mutant.Before.Contains(name, StringComparison.Ordinal)))
                        .Select(mutant => mutant.Id),
                ];
                return named.Count > 0 ? named : inside;
            }
        }

        return [];
    }

    [GeneratedRegex("'([^']+)'")]
    private static partial Regex Quoted();
}
