using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using static Microsoft.CodeAnalysis.CSharp.SyntaxFactory;

namespace Fleet.Mutation;

/// <summary>
/// Writes every mutant of a file into its tree, each behind a switch, so that one compilation holds all.
/// </summary>
/// <remarks>
/// A site with mutants becomes a choice between its mutated forms and itself; a mutated form holds no further mutants,
/// since one is active at a time. Ids follow the order of the source, so leaving some out does not renumber others.
/// </remarks>
internal sealed class Mutator(SemanticModel model, string folder, string file, ISet<int> excluded, int firstId)
    : CSharpSyntaxRewriter
{
    /// <summary>Annotates a site with the ids of the mutants in it.</summary>
    public const string Site = "mutants";

    private static readonly ExpressionSyntax Switch = ParseExpression("global::Fleet.Mutation.MutantSwitch");

    private static readonly IdentifierNameSyntax Discard =
        IdentifierName(Identifier(TriviaList(), SyntaxKind.UnderscoreToken, "_", "_", TriviaList()));

    private static readonly Dictionary<SyntaxKind, (MutantKind Kind, SyntaxKind[] Others)> Binary = new()
    {
        [SyntaxKind.LessThanExpression] =
            (MutantKind.Relational, [SyntaxKind.LessThanOrEqualExpression, SyntaxKind.GreaterThanOrEqualExpression]),
        [SyntaxKind.LessThanOrEqualExpression] =
            (MutantKind.Relational, [SyntaxKind.LessThanExpression, SyntaxKind.GreaterThanExpression]),
        [SyntaxKind.GreaterThanExpression] =
            (MutantKind.Relational, [SyntaxKind.GreaterThanOrEqualExpression, SyntaxKind.LessThanOrEqualExpression]),
        [SyntaxKind.GreaterThanOrEqualExpression] =
            (MutantKind.Relational, [SyntaxKind.GreaterThanExpression, SyntaxKind.LessThanExpression]),
        [SyntaxKind.EqualsExpression] = (MutantKind.Relational, [SyntaxKind.NotEqualsExpression]),
        [SyntaxKind.NotEqualsExpression] = (MutantKind.Relational, [SyntaxKind.EqualsExpression]),
        [SyntaxKind.AddExpression] = (MutantKind.Arithmetic, [SyntaxKind.SubtractExpression]),
        [SyntaxKind.SubtractExpression] = (MutantKind.Arithmetic, [SyntaxKind.AddExpression]),
        [SyntaxKind.MultiplyExpression] = (MutantKind.Arithmetic, [SyntaxKind.DivideExpression]),
        [SyntaxKind.DivideExpression] = (MutantKind.Arithmetic, [SyntaxKind.MultiplyExpression]),
        [SyntaxKind.ModuloExpression] = (MutantKind.Arithmetic, [SyntaxKind.MultiplyExpression]),
        [SyntaxKind.LeftShiftExpression] = (MutantKind.Arithmetic, [SyntaxKind.RightShiftExpression]),
        [SyntaxKind.RightShiftExpression] = (MutantKind.Arithmetic, [SyntaxKind.LeftShiftExpression]),
        [SyntaxKind.BitwiseAndExpression] = (MutantKind.Arithmetic, [SyntaxKind.BitwiseOrExpression]),
        [SyntaxKind.BitwiseOrExpression] = (MutantKind.Arithmetic, [SyntaxKind.BitwiseAndExpression]),
        [SyntaxKind.ExclusiveOrExpression] = (MutantKind.Arithmetic, [SyntaxKind.BitwiseOrExpression]),
        [SyntaxKind.LogicalAndExpression] = (MutantKind.Logical, [SyntaxKind.LogicalOrExpression]),
        [SyntaxKind.LogicalOrExpression] = (MutantKind.Logical, [SyntaxKind.LogicalAndExpression]),
    };

    private static readonly Dictionary<SyntaxKind, SyntaxKind[]> Compound = new()
    {
        [SyntaxKind.AddAssignmentExpression] = [SyntaxKind.SubtractAssignmentExpression],
        [SyntaxKind.SubtractAssignmentExpression] = [SyntaxKind.AddAssignmentExpression],
        [SyntaxKind.OrAssignmentExpression] =
            [SyntaxKind.AndAssignmentExpression, SyntaxKind.ExclusiveOrAssignmentExpression],
        [SyntaxKind.AndAssignmentExpression] =
            [SyntaxKind.OrAssignmentExpression, SyntaxKind.ExclusiveOrAssignmentExpression],
        [SyntaxKind.LeftShiftAssignmentExpression] = [SyntaxKind.RightShiftAssignmentExpression],
        [SyntaxKind.RightShiftAssignmentExpression] = [SyntaxKind.LeftShiftAssignmentExpression],
    };

    private int _next = firstId;

    /// <summary>Every mutant of the file, those left out included.</summary>
    public List<Mutant> Mutants { get; } = [];

    public override SyntaxNode? Visit(SyntaxNode? node)
    {
        // What must be constant, and what is no code, has no switch.
        if (node is AttributeListSyntax or EnumMemberDeclarationSyntax or ParameterListSyntax or CaseSwitchLabelSyntax
                or LocalDeclarationStatementSyntax { IsConst: true } or PatternSyntax
            || (node is FieldDeclarationSyntax field && field.Modifiers.Any(SyntaxKind.ConstKeyword)))
        {
            return node;
        }

        return node is ExpressionSyntax expression ? Expression(expression) : base.Visit(node);
    }

    public override SyntaxNode? VisitBlock(BlockSyntax node) => node.WithStatements(Statements(node.Statements));

    public override SyntaxNode? VisitSwitchSection(SwitchSectionSyntax node) =>
        node.WithStatements(Statements(node.Statements));

    public override SyntaxNode? VisitWhileStatement(WhileStatementSyntax node)
    {
        var visited = (WhileStatementSyntax)base.VisitWhileStatement(node)!;
        return visited.WithStatement(Bounded(visited.Statement));
    }

    public override SyntaxNode? VisitForStatement(ForStatementSyntax node)
    {
        var visited = (ForStatementSyntax)base.VisitForStatement(node)!;
        return visited.WithStatement(Bounded(visited.Statement));
    }

    public override SyntaxNode? VisitDoStatement(DoStatementSyntax node)
    {
        var visited = (DoStatementSyntax)base.VisitDoStatement(node)!;
        return visited.WithStatement(Bounded(visited.Statement));
    }

    public override SyntaxNode? VisitForEachStatement(ForEachStatementSyntax node)
    {
        var visited = (ForEachStatementSyntax)base.VisitForEachStatement(node)!;
        return visited.WithStatement(Bounded(visited.Statement));
    }

    /// <summary>A void member of one expression gets a body, so that its statement can be left out.</summary>
    public override SyntaxNode? VisitMethodDeclaration(MethodDeclarationSyntax node)
    {
        if (node.ExpressionBody is not { } arrow || model.GetDeclaredSymbol(node) is not { ReturnsVoid: true })
        {
            return base.VisitMethodDeclaration(node);
        }

        var statement = ExpressionStatement(arrow.Expression);
        var visited = statement.WithExpression((ExpressionSyntax)Visit(arrow.Expression)!);
        return node.WithExpressionBody(null).WithSemicolonToken(default)
            .WithBody(Block(Chosen(visited, Left(arrow.Expression, statement))));
    }

    private static string TextOf(SyntaxNode node) =>
        string.Join(' ', node.ToString().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    private static BlockSyntax Bounded(StatementSyntax body) =>
        Block(ExpressionStatement(InvocationExpression(Member("Tick"))), body);

    private static MemberAccessExpressionSyntax Member(string name) =>
        MemberAccessExpression(SyntaxKind.SimpleMemberAccessExpression, Switch, IdentifierName(name));

    private static InvocationExpressionSyntax IsOn(int id) =>
        InvocationExpression(Member("On"), ArgumentList(SingletonSeparatedList(
            Argument(LiteralExpression(SyntaxKind.NumericLiteralExpression, Literal(id))))));

    /// <summary>A name that a declaration inside would bring into scope cannot be brought in twice.</summary>
    private static bool Declares(SyntaxNode node) => node.DescendantNodesAndSelf().Any(inner =>
        inner is SingleVariableDesignationSyntax or DeclarationExpressionSyntax);

    private static BinaryExpressionSyntax With(BinaryExpressionSyntax node, SyntaxKind kind) =>
        BinaryExpression(kind, node.Left, node.Right);

    private SyntaxNode? Expression(ExpressionSyntax node)
    {
        var visited = (ExpressionSyntax)base.Visit(node)!;
        List<(int Id, ExpressionSyntax Form)> forms = [];
        switch (node)
        {
            case BinaryExpressionSyntax binary when Binary.TryGetValue(binary.Kind(), out var row) && !IsText(binary):
                foreach (var other in row.Others)
                {
                    Add(row.Kind, With(binary, other));
                }

                break;
            case PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.LogicalNotExpression } not:
                Add(MutantKind.Logical, not.Operand);
                break;
            case PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.UnaryMinusExpression } minus
                when minus.Operand is not LiteralExpressionSyntax:
                Add(MutantKind.Arithmetic, minus.Operand);
                break;
            case PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.BitwiseNotExpression } complement:
                Add(MutantKind.Arithmetic, complement.Operand);
                break;
            case PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.PreIncrementExpression } up:
                Add(MutantKind.Assignment, PrefixUnaryExpression(SyntaxKind.PreDecrementExpression, up.Operand));
                break;
            case PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.PreDecrementExpression } down:
                Add(MutantKind.Assignment, PrefixUnaryExpression(SyntaxKind.PreIncrementExpression, down.Operand));
                break;
            case PostfixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.PostIncrementExpression } up:
                Add(MutantKind.Assignment, PostfixUnaryExpression(SyntaxKind.PostDecrementExpression, up.Operand));
                break;
            case PostfixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.PostDecrementExpression } down:
                Add(MutantKind.Assignment, PostfixUnaryExpression(SyntaxKind.PostIncrementExpression, down.Operand));
                break;
            case AssignmentExpressionSyntax assignment when Compound.TryGetValue(assignment.Kind(), out var others):
                foreach (var other in others)
                {
                    Add(MutantKind.Assignment, AssignmentExpression(other, assignment.Left, assignment.Right));
                }

                break;
            case LiteralExpressionSyntax { RawKind: (int)SyntaxKind.TrueLiteralExpression }
                when node.Parent is not WhileStatementSyntax:
                Add(MutantKind.Logical, LiteralExpression(SyntaxKind.FalseLiteralExpression));
                break;
            case LiteralExpressionSyntax { RawKind: (int)SyntaxKind.FalseLiteralExpression }:
                Add(MutantKind.Logical, LiteralExpression(SyntaxKind.TrueLiteralExpression));
                break;
            default:
                if (IsCondition(node) && !IsEncoding(node))
                {
                    Add(MutantKind.Logical,
                        PrefixUnaryExpression(SyntaxKind.LogicalNotExpression, ParenthesizedExpression(node)));
                }

                break;
        }

        if (forms.Count == 0)
        {
            return visited;
        }

        // An expression that stands as a statement of its own must stay one.
        var isStatement = node.Parent is ExpressionStatementSyntax or ForStatementSyntax or ArrowExpressionClauseSyntax
            && node is AssignmentExpressionSyntax or PrefixUnaryExpressionSyntax or PostfixUnaryExpressionSyntax;
        ExpressionSyntax site = ParenthesizedExpression(visited.WithoutTrivia());
        foreach (var (id, form) in Enumerable.Reverse(forms))
        {
            site = ParenthesizedExpression(ConditionalExpression(
                IsOn(id), ParenthesizedExpression(form.WithoutTrivia()), site))
                .WithAdditionalAnnotations(new SyntaxAnnotation(Site, id.ToString()));
        }

        return isStatement
            ? AssignmentExpression(SyntaxKind.SimpleAssignmentExpression, Discard, site)
            : site.WithTriviaFrom(node);

        void Add(MutantKind kind, ExpressionSyntax form)
        {
            if (!Declares(node))
            {
                var id = Register(kind, node, TextOf(node), TextOf(form.NormalizeWhitespace()));
                if (id is { } included)
                {
                    forms.Add((included, form));
                }
            }
        }
    }

    private bool IsText(BinaryExpressionSyntax binary) =>
        model.GetTypeInfo(binary).Type?.SpecialType is SpecialType.System_String;

    /// <summary>A truth value that decides something and that no operator of its own already negates.</summary>
    private bool IsCondition(ExpressionSyntax node) =>
        node is InvocationExpressionSyntax or IdentifierNameSyntax or MemberAccessExpressionSyntax
            or IsPatternExpressionSyntax or ElementAccessExpressionSyntax or AwaitExpressionSyntax
        && node.Parent switch
        {
            IfStatementSyntax or WhileStatementSyntax or DoStatementSyntax => true,
            ForStatementSyntax loop => loop.Condition == node,
            ConditionalExpressionSyntax choice => choice.Condition == node,
            BinaryExpressionSyntax binary =>
                binary.Kind() is SyntaxKind.LogicalAndExpression or SyntaxKind.LogicalOrExpression,
            ArgumentSyntax argument => argument.RefKindKeyword.IsKind(SyntaxKind.None),
            ArrowExpressionClauseSyntax or ReturnStatementSyntax or AssignmentExpressionSyntax => true,
            _ => false,
        }
        && !(node.Parent is AssignmentExpressionSyntax assignment && assignment.Left == node)
        && model.GetTypeInfo(node).Type?.SpecialType is SpecialType.System_Boolean;

    private SyntaxList<StatementSyntax> Statements(SyntaxList<StatementSyntax> statements)
    {
        List<StatementSyntax> result = [];
        for (var i = 0; i < statements.Count;)
        {
            // Statements that declare nothing can change places within their run.
            var run = statements.Skip(i).TakeWhile(MayMove).ToList();
            if (run.Count == 0)
            {
                result.Add(Removable(statements[i]));
                i++;
                continue;
            }

            List<StatementSyntax> plain = [.. run.Select(Removable)];
            StatementSyntax chosen = plain.Count == 1 ? plain[0] : Block(plain);
            for (var at = run.Count - 2; at >= 0; at--)
            {
                if (Depend(run[at], run[at + 1]) && !IsEncoding(run[at])
                    && Register(MutantKind.Ordering, run[at], $"{TextOf(run[at])} {TextOf(run[at + 1])}",
                        "the other way round") is { } id)
                {
                    List<StatementSyntax> swapped = [.. run];
                    (swapped[at], swapped[at + 1]) = (swapped[at + 1], swapped[at]);
                    chosen = IfStatement(IsOn(id), Block(swapped), ElseClause(chosen))
                        .WithAdditionalAnnotations(new SyntaxAnnotation(Site, id.ToString()));
                }
            }

            result.Add(chosen);
            i += run.Count;
        }

        return List(result);
    }

    private static bool MayMove(StatementSyntax statement) =>
        statement is ExpressionStatementSyntax or IfStatementSyntax && !Declares(statement);

    private static bool Leaves(SyntaxNode node) => node.DescendantNodes().Any(inner =>
        inner is ReturnStatementSyntax or BreakStatementSyntax or ContinueStatementSyntax or ThrowStatementSyntax);

    /// <summary>
    /// The order and the sense of what a digest mixes is an encoding: another one tells the same states apart.
    /// </summary>
    private static bool IsEncoding(SyntaxNode node) =>
        node.FirstAncestorOrSelf<MethodDeclarationSyntax>() is { } method
        && method.Identifier.ValueText.StartsWith("Hash", StringComparison.Ordinal);

    /// <summary>Whether the order of two statements can matter, as far as the source says.</summary>
    private bool Depend(StatementSyntax first, StatementSyntax second)
    {
        var (left, right) = (Touched.By(first, model), Touched.By(second, model));
        return Leaves(first) || Leaves(second) || left.MayConflictWith(right);
    }

    private StatementSyntax Removable(StatementSyntax statement)
    {
        var visited = (StatementSyntax)Visit(statement)!;
        return statement switch
        {
            ExpressionStatementSyntax or ThrowStatementSyntax or ContinueStatementSyntax =>
                Chosen(visited, Left(statement, statement)),
            ReturnStatementSyntax { Expression: null } => Chosen(visited, Left(statement, statement)),
            BreakStatementSyntax when statement.Parent is not SwitchSectionSyntax =>
                Chosen(visited, Left(statement, statement)),
            _ => visited,
        };
    }

    private int? Left(SyntaxNode at, StatementSyntax statement) =>
        Declares(statement) ? null : Register(MutantKind.Removal, at, TextOf(statement.NormalizeWhitespace()), "");

    private static StatementSyntax Chosen(StatementSyntax visited, int? id) => id is not { } removed
        ? visited
        : IfStatement(PrefixUnaryExpression(SyntaxKind.LogicalNotExpression, IsOn(removed)), Block(visited))
            .WithAdditionalAnnotations(new SyntaxAnnotation(Site, $"{removed}"));

    private int? Register(MutantKind kind, SyntaxNode at, string before, string after)
    {
        var id = _next++;
        var names = at.Ancestors().Select(node => node switch
        {
            MethodDeclarationSyntax method => method.Identifier.ValueText,
            ConstructorDeclarationSyntax => "new",
            PropertyDeclarationSyntax property => property.Identifier.ValueText,
            OperatorDeclarationSyntax operation => operation.OperatorToken.ValueText,
            BaseTypeDeclarationSyntax type => type.Identifier.ValueText,
            VariableDeclaratorSyntax { Parent.Parent: FieldDeclarationSyntax } field => field.Identifier.ValueText,
            _ => null,
        });
        var place = string.Join('.', names.OfType<string>().Reverse());
        var line = at.GetLocation().GetLineSpan().StartLinePosition.Line + 1;
        Mutants.Add(new(id, kind, folder, file, line, place, before, after));
        return excluded.Contains(id) ? null : id;
    }
}
